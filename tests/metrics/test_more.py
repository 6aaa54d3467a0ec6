"""Metrics beyond the official eight."""

import json

import numpy as np
import open_clip
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.base import Metric
from piebench_eval.metrics.clip_score import directional_similarities
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from tests.support.edits import block, score_one
from tests.support.weights import fill

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["psnr", "mse", "ssim", "lpips"])
def test_regions(networks, picture, half_mask, name):
    """The background's score, the region's, and the whole picture's, from one edit of the region alone."""
    edited = picture.copy()
    edited[10:20, 10:20] = 0
    columns = [f"{name}_unedit_part", f"{name}_edit_part", name]
    outside, inside, whole = score_one(networks, picture, half_mask, edited, columns=columns).values()
    everywhere = score_one(networks, picture, np.ones_like(half_mask), edited, columns=[f"{name}_edit_part"])
    assert whole == everywhere[f"{name}_edit_part"]
    if name in ("psnr", "mse"):
        assert inside == whole  # the hole adds no error
    better = METRICS.get(name).better == "higher"
    assert (outside > inside) if better else (outside < inside)


def test_a_full_mask_has_a_region_and_no_background(networks, picture):
    full = np.ones((64, 64), dtype=bool)
    scores = score_one(
        networks, picture, full, 255 - picture, columns=["mse", "mse_edit_part", "mse_unedit_part"]
    )
    assert np.isnan(scores["mse_unedit_part"]) and scores["mse"] == scores["mse_edit_part"] > 0


@pytest.mark.parametrize(
    ("role", "features"),
    [
        ("lpips_alex", "alexnet"),
        pytest.param("lpips_vgg", "vgg16", marks=pytest.mark.slow),  # repeats it, with a larger network
    ],
)
def test_other_backbones_of_lpips(metric_networks, picture, half_mask, tmp_path, role, features):
    network = fill(getattr(torchvision.models, features)(weights=None).features, seed=7)
    save_file(network.state_dict(), tmp_path / "features.safetensors")
    models = MetricModels(**{**metric_networks.to_dict(), role: str(tmp_path / "features.safetensors")})
    column = f"{role}_unedit_part"
    networks = MetricNetworks(models, CPU)
    assert score_one(networks, picture, half_mask, picture, columns=[column])[column] == 0
    assert score_one(networks, picture, half_mask, 255 - picture, columns=[column])[column] > 0

    import lpips

    reference = lpips.LPIPS(net=role.removeprefix("lpips_"), pnet_rand=True, verbose=False)
    reference.net.load_state_dict(networks.lpips(role)._network.net.state_dict())
    pair = [
        torch.from_numpy(np.stack([image])).permute(0, 3, 1, 2) / 127.5 - 1
        for image in (picture, 255 - picture)
    ]
    whole = block(networks, [(picture, half_mask, 255 - picture)]).with_protocol(
        block(networks, [(picture, half_mask, picture)]).protocol.with_changes(
            {"mask": {"background": "everything"}}
        )
    )
    with torch.inference_mode():
        expected = float(reference(*pair))
        assert METRICS.get(column).score(whole)[0] == pytest.approx(expected, rel=1e-5)


def test_weights_of_another_backbone_are_refused(metric_networks):
    models = MetricModels(lpips_vgg=metric_networks.lpips_weights)
    with pytest.raises(PiebenchError, match=r"--lpips-vgg .*squeezenet.*vgg16"):
        MetricNetworks(models, CPU).load(["lpips_vgg"])


def test_directional_similarity(networks, picture, half_mask):
    """By its definition, from the embeddings themselves; nan where nothing changed."""
    edited = 255 - picture
    edits = block(networks, [(picture, half_mask, edited), (picture, half_mask, picture)])
    with torch.inference_mode():
        changed, unchanged = directional_similarities(edits)
        clip = networks.clip(None, "own")
        source, target = clip.images(clip.pixels([picture, edited], "pil"))
        before, after = clip.texts(["a cat", "a dog"], keep_end=False)
        directions = [
            (two / two.norm() - one / one.norm()) for one, two in ((source, target), (before, after))
        ]
        expected = float(torch.cosine_similarity(*directions, dim=0))
    assert changed == pytest.approx(expected, abs=1e-4)
    assert np.isnan(unchanged)


def test_an_untouched_picture_has_no_direction_whatever_its_batch(networks, picture, half_mask):
    pictures = [np.roll(picture, shift, axis=0) for shift in range(5)]
    edits = block(
        networks, [(one, half_mask, one.copy()) for one in pictures] + [(picture, half_mask, 255 - picture)]
    )
    with torch.inference_mode():
        *untouched, touched = directional_similarities(edits)
    assert np.isnan(untouched).all() and not np.isnan(touched)


def test_a_plugin_metric_names_sections_and_networks_that_there_are():
    for wrong, word in (({"sections": ("picture",)}, "picture"), ({"networks": ("vgg",)}, "vgg")):
        with pytest.raises(ValueError, match=f"no (section|network) '{word}'"):
            Metric("Mine", "me", "lower", lambda edits: [], **wrong)


def test_openai_weights_get_their_quickgelu(monkeypatch):
    """ViT-L-14's own configuration in open_clip has GELU; OpenAI's weights were trained with QuickGELU."""
    asked = {}

    def create(model, **options):
        asked.update(options)
        raise RuntimeError("enough")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", create)
    for weights, quick in (("openai", True), ("laion2b_s32b_b82k", False)):
        with pytest.raises(PiebenchError, match="enough"):
            MetricNetworks(MetricModels(clip=f"open_clip:ViT-L-14/{weights}"), CPU).load(["clip"])
        assert asked["force_quick_gelu"] is quick and asked["pretrained"] == weights


@pytest.mark.parametrize("role", ["lpips_alex", "lpips_vgg"])
def test_only_some_networks_are_embedded(role):
    with pytest.raises(PiebenchError, match="no such network is embedded"):
        MetricNetworks(MetricModels(**{role: "demo"}), CPU).load([role])


def test_dino_similarity(networks, picture, half_mask):
    def similarity(edited):
        return score_one(networks, picture, half_mask, edited, columns=["dino_similarity"])["dino_similarity"]

    assert similarity(picture) == pytest.approx(1, abs=1e-6)
    assert similarity(255 - picture) < similarity(np.roll(picture, 1, axis=0)) < 1


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory):
    """A small CLIP in open_clip's own layout."""
    folder = tmp_path_factory.mktemp("open_clip")
    config = {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    model = fill(open_clip.CLIP(**config), seed=8)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_open_clip(metric_networks, open_clip_folder, picture, half_mask):
    name = f"open_clip:local-dir:{open_clip_folder}"
    networks = MetricNetworks(MetricModels(**{**metric_networks.to_dict(), "clip": name}), CPU)
    columns = ["clip_similarity_source_image", "clip_similarity_target_image"]
    scores = score_one(networks, picture, half_mask, 255 - picture, columns=columns)

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{open_clip_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{open_clip_folder}")
    from PIL import Image

    with torch.inference_mode():
        for image, prompt, column in ((picture, "a cat", columns[0]), (255 - picture, "a dog", columns[1])):
            image_features = model.encode_image(transform(Image.fromarray(image))[None])
            text_features = model.encode_text(tokenizer([prompt]))
            cosine = float(torch.cosine_similarity(image_features, text_features))
            assert scores[column] == pytest.approx(max(0, 100 * cosine), abs=1e-3)


@pytest.mark.parametrize(
    "name", ["open_clip:ViT-L-14", "open_clip:no-such/model", "open_clip:local-dir:/nowhere"]
)
def test_open_clip_that_cannot_be_loaded(name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PiebenchError, match="open_clip:"):
        MetricNetworks(MetricModels(clip=name), CPU).load(["clip"])


def test_every_metric_describes_itself():
    for name in METRICS.names():
        metric = METRICS.get(name)
        assert metric.title and metric.paper and metric.better in ("higher", "lower")
        assert metric.sections
