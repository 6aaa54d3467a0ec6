"""Which deviations are tried: what the pictures can show, with the networks at hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.explain.applicable import applicable_deviations, with_networks
from piebench_eval.explain.hypotheses import parse_claims
from piebench_eval.metrics.networks.metric_models import MetricModels, networks_for
from piebench_eval.scoring.edited_images import EditedImage

NETWORKS = {"clip-b16", "clip-b32", "lpips-alex", "lpips-vgg"}
B16 = "openai/clip-vit-base-patch16"


def edits(folder: Path, side: int, instruction: str, types: str = "0"):
    Image.new("RGB", (64, 64)).save(folder / "source.png")
    Image.new("RGB", (side, side)).save(folder / "edit.png")
    return [
        EditedImage(
            SimpleNamespace(id=type_id, file=folder / "source.png", instruction=instruction, type_id=type_id),
            {"name": "mine"},
            folder / "edit.png",
        )
        for type_id in types
    ]


def keys(*arguments):
    return {deviation.key for deviation in applicable_deviations(*arguments)}


@pytest.mark.parametrize(
    ("key", "plain", "showing"),
    [
        ("resize-lanczos", (64, "do it", "00"), (128, "do it", "00")),
        ("instruction", (64, " ", "00"), (64, "do it", "00")),
        ("category-means", (64, "", "00"), (64, "", "01")),
        ("without-type-9", (64, "", "00"), (64, "", "09")),
    ],
)
def test_a_deviation_is_tried_on_pictures_that_can_show_it(tmp_path, key, plain, showing):
    assert key not in keys(edits(tmp_path, *plain), MetricModels())
    assert key in keys(edits(tmp_path, *showing), MetricModels())


@pytest.mark.parametrize(
    ("models", "tried"),
    [
        (MetricModels(), NETWORKS),
        (networks_for("demo"), set()),
        (MetricModels(clip="/models/clip"), {"lpips-alex", "lpips-vgg"}),
        (MetricModels(clip=B16), {"clip-b32", "lpips-alex", "lpips-vgg"}),
        (MetricModels(lpips_weights="s.safetensors"), {"clip-b16", "clip-b32"}),
        (
            MetricModels(lpips_weights="s.safetensors", lpips_vgg="v.safetensors"),
            {"clip-b16", "clip-b32", "lpips-vgg"},
        ),
    ],
)
def test_public_networks_are_tried_beside_public_ones(tmp_path, models, tried):
    assert keys(edits(tmp_path, 64, ""), models) & NETWORKS == tried


def test_a_clip_that_the_user_names_is_tried_once(tmp_path):
    found = keys(edits(tmp_path, 64, ""), MetricModels(), [B16, "mine", "mine"])
    assert {f"clip={B16}", "clip=mine", "clip-b32"} <= found and "clip-b16" not in found


class Unreachable:
    """Networks of which none can be loaded."""

    def __init__(self):
        self.asked = []

    def load(self, roles, protocol):
        self.asked += [(role, protocol.clip.network) for role in roles]
        if roles:
            raise PiebenchError("cannot be reached\nat all")


def test_what_cannot_be_loaded_is_left_out_and_named(tmp_path):
    deviations = applicable_deviations(edits(tmp_path, 64, ""), MetricModels())
    networks = Unreachable()
    left, lines = with_networks(deviations, parse_claims("lpips=54.55"), networks)
    assert {one.key for one in deviations} - {one.key for one in left} == {"lpips-alex", "lpips-vgg"}
    assert lines[0] == "not tried: LPIPS is AlexNet's (cannot be reached)"
    assert networks.asked == [("lpips_alex", None), ("lpips_vgg", None)], "no CLIP for a claim of LPIPS"
    left, lines = with_networks(deviations, parse_claims("clip_whole=25.02"), networks)
    assert {one.key for one in deviations} - {one.key for one in left} == {"clip-b16", "clip-b32"}
    assert lines[0].startswith("not tried: CLIP is ViT-B/16 (") and lines[0].endswith("--try-clip FOLDER")


def test_a_clip_that_the_user_names_has_to_be_there(tmp_path):
    deviations = applicable_deviations(edits(tmp_path, 64, ""), MetricModels(clip="/models/clip"), ["mine"])
    with pytest.raises(PiebenchError, match="cannot be reached"):
        with_networks(deviations, parse_claims("clip_whole=25.02"), Unreachable())
