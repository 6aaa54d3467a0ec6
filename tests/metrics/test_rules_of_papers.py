"""Rules of the protocol that tables in print were scored by."""

from dataclasses import replace

import numpy as np
import pytest
import torchvision
from PIL import Image
from safetensors.torch import save_file

from piebench_eval.data.masks import decode_alternating, load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.metrics.networks.metric_networks import MetricNetworks
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.scoring.cache import ScoreSpec
from piebench_eval.scoring.images import load_source
from piebench_eval.scoring.score import Scoring, score_edits, scoring_jobs
from tests.support.edits import block, score_one
from tests.support.photos import save_photo_bench
from tests.support.weights import fill


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return load_pie_bench(save_photo_bench(tmp_path_factory.mktemp("bench")))


def test_lpips_takes_the_backbone_that_the_protocol_names(
    networks, metric_networks, picture, half_mask, tmp_path
):
    alexnet = fill(torchvision.models.alexnet(weights=None).features, seed=7)
    save_file(alexnet.state_dict(), tmp_path / "alexnet.safetensors")
    models = replace(metric_networks, lpips_alex=str(tmp_path / "alexnet.safetensors"))
    protocol = PAPER.with_changes({"lpips": {"network": "alexnet"}})
    given = (MetricNetworks(models, networks.device), picture, half_mask, 255 - picture)
    squeeze, alex = score_one(*given, columns=["lpips_unedit_part", "lpips_alex_unedit_part"]).values()
    assert score_one(*given, protocol, ["lpips_unedit_part"])["lpips_unedit_part"] == alex != squeeze
    scoring = Scoring(models, protocol=protocol, columns=("lpips_unedit_part",))
    assert scoring.describe()["networks"] == {"lpips_alex": models.lpips_alex}
    one, other = (
        ScoreSpec("lpips_unedit_part", protocol, each, "fp32")
        for each in (models, replace(models, lpips_weights="unused"))
    )
    assert one.fingerprint == other.fingerprint, "SqueezeNet takes no part in it"


def test_the_instruction_in_the_place_of_the_target_prompt(networks, picture, half_mask):
    columns = ["clip_similarity_target_image", "clip_similarity_target_image_edit_part"]
    protocol = PAPER.with_changes({"prompts": {"target": "instruction"}})

    def scored(instruction, target="a [dog]", rules=protocol):
        edits = block(networks, [(picture, half_mask, 255 - picture)], rules, ("a [cat]", target))
        edits = replace(edits, sources=[replace(edits.sources[0], instruction=instruction)])
        return edits.prompts, [score_edits(edits, column)[0] for column in columns]

    assert scored("make it a dog") == scored("", "make it a dog", PAPER)
    assert scored("make it a dog")[0] == [("a cat", "make it a dog")]
    assert np.isnan(scored(" ")[1]).all(), "a sample without an instruction has no such score"


def test_a_score_of_an_instruction_is_kept_under_the_instruction(samples, metric_networks, tmp_path):
    from piebench_eval.scoring.edited_images import EditedImage

    protocol = PAPER.with_changes({"prompts": {"target": "instruction"}})
    of_clip, of_pixels = "clip_similarity_target_image", "psnr_unedit_part"

    def keys(sample, rules, column):
        spec = ScoreSpec(column, rules, metric_networks, "fp32")
        return next(scoring_jobs([EditedImage(sample, {"name": "mine"}, sample.file)], [spec])).keys

    other = replace(samples[0], instruction="something else")
    assert keys(samples[0], protocol, of_clip) != keys(other, protocol, of_clip)
    assert keys(samples[0], protocol, of_pixels) == keys(other, protocol, of_pixels)
    assert keys(samples[0], PAPER, of_clip) == keys(other, PAPER, of_clip)


@pytest.mark.parametrize(("runs", "by_columns"), [("alternating", False), ("alternating_columns", True)])
def test_masks_as_alternating_runs(networks, samples, runs, by_columns):
    protocol = PAPER.with_changes({"mask": {"runs": runs, "frame": False}})
    sources = [load_source(sample) for sample in samples]
    edits = block(networks, [(source.image, source.mask, source.image) for source in sources], protocol)
    edits = replace(edits, sources=sources)
    for sample, region in zip(samples, edits.regions, strict=True):
        np.testing.assert_array_equal(region, decode_alternating(sample.mask_rle, 128, 128, by_columns))
    np.testing.assert_array_equal(edits.with_protocol(PAPER).annotated[1], load_mask(samples[1]))
    # At another size the mask is decoded first and brought to it then, as the right one is.
    assert load_source(samples[1], 64).read_mask(runs).shape == (64, 64)


def test_a_picture_without_background_scored_whole(networks, picture):
    full, edited = np.ones((64, 64), dtype=bool), 255 - picture
    protocol = PAPER.with_changes({"mask": {"full": "whole"}})
    scores = score_one(networks, picture, full, edited, protocol, ["psnr_unedit_part", "psnr"])
    assert scores["psnr_unedit_part"] == scores["psnr"]
    half = np.zeros_like(full)
    half[:32] = True
    columns = ["psnr_unedit_part", "clip_similarity_target_image_edit_part"]
    assert score_one(networks, picture, half, edited, protocol, columns) == score_one(
        networks, picture, half, edited, PAPER, columns
    )


@pytest.mark.parametrize("resize", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_edits_of_another_size_are_resized_by_the_named_filter(networks, picture, half_mask, resize):
    large = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    edits = block(networks, [(picture, half_mask, large)])
    edits = replace(edits, sizes=[(64, 64)])
    found = edits.with_protocol(PAPER.with_changes({"pictures": {"resize": resize}})).images[0]
    expected = Image.fromarray(large).resize((64, 64), Image.Resampling[resize.upper()])
    np.testing.assert_array_equal(found, np.array(expected))


def test_a_bicubic_filter_without_antialiasing(networks, picture, half_mask):
    """On a picture that is constant in each quarter it is exact away from the edges."""
    large = np.kron(np.array([[10, 250], [90, 170]], dtype=np.uint8), np.ones((64, 64), np.uint8))
    large = np.repeat(large[..., None], 3, axis=2)
    edits = replace(block(networks, [(picture, half_mask, large)]), sizes=[(64, 64)])
    found = edits.with_protocol(PAPER.with_changes({"pictures": {"resize": "tensor_bicubic"}})).images[0]
    assert found[8::42, 8::42, 0].tolist() == [[10, 250], [90, 170]]
    assert not np.array_equal(found, edits.images[0]), "PIL's, the default, is antialiased"
