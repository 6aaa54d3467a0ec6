import numpy as np
import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, COLUMNS
from piebench_eval.metrics.networks import MetricModels
from piebench_eval.metrics.suite import SourceFeatures, Suite, score_edit

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def suite(metric_networks):
    return Suite(metric_networks, CPU)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def source(suite, picture, mask):
    return SourceFeatures(suite, picture, mask, "a cat", "a dog")


def half_mask():
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, :32] = True
    return mask


def test_an_identical_picture(suite, picture):
    scores = score_edit(source(suite, picture, half_mask()), picture.copy())
    assert list(scores) == list(COLUMNS)
    assert scores["structure_distance"] == 0
    assert scores["psnr_unedit_part"] == float("inf")
    assert scores["lpips_unedit_part"] == scores["mse_unedit_part"] == 0
    assert scores["ssim_unedit_part"] == pytest.approx(1)


def test_a_full_mask_leaves_nothing_to_compare(suite, picture):
    scores = score_edit(source(suite, picture, np.ones((64, 64), dtype=bool)), 255 - picture)
    assert all(np.isnan(scores[column]) for column in BACKGROUND_COLUMNS)
    assert scores["clip_similarity_target_image"] == scores["clip_similarity_target_image_edit_part"]


def test_only_what_is_outside_the_mask_counts(suite, picture):
    edited = picture.copy()
    edited[:, :32] = 255 - edited[:, :32]
    scores = score_edit(source(suite, picture, half_mask()), edited)
    assert scores["mse_unedit_part"] == 0
    assert scores["structure_distance"] > 0


def test_the_mean_runs_over_the_whole_picture(suite, picture):
    base = np.full_like(picture, 100)
    edited = base + np.uint8(51)
    scores = score_edit(source(suite, base, half_mask()), edited)
    assert scores["mse_unedit_part"] == pytest.approx(0.2**2 / 2, rel=1e-5)
    assert scores["psnr_unedit_part"] == pytest.approx(-10 * np.log10(0.02), rel=1e-5)


def test_sizes_must_agree(suite, picture):
    with pytest.raises(ValueError, match="shape"):
        score_edit(source(suite, picture, half_mask()), picture[:32, :32])


def test_the_sources_side_is_computed_once(suite, picture, monkeypatch):
    calls = []
    features = source(suite, picture, half_mask())
    whole = suite.structure
    monkeypatch.setattr(suite, "structure", lambda image: calls.append(1) or whole(image))
    first = score_edit(features, 255 - picture)
    assert score_edit(features, 255 - picture) == first
    assert len(calls) == 3


@pytest.mark.parametrize("role", ["dino", "clip", "lpips_weights"])
@pytest.mark.parametrize("damage", ["missing", "garbage", "other architecture"])
def test_networks_that_cannot_be_loaded(metric_networks, tmp_path, role, damage, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = tmp_path / "network"
    if damage == "garbage":
        if role == "lpips_weights":
            place.write_bytes(b"garbage")
        else:
            place.mkdir()
            (place / "config.json").write_text('{"model_type": "clip"}')
            (place / "model.safetensors").write_bytes(b"garbage")
    if damage == "other architecture":
        place = metric_networks.clip if role == "dino" else metric_networks.dino
        place = f"{place}/model.safetensors" if role == "lpips_weights" else place
    models = MetricModels(**{**metric_networks.to_dict(), role: str(place)})
    with pytest.raises(PiebenchError, match=str(place)):
        Suite(models, CPU)
