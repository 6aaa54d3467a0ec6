"""The eight official columns on pictures whose scores can be told beforehand."""

import numpy as np
import pytest

from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, COLUMNS
from piebench_eval.scoring.score import score_edits
from tests.support.edits import block, score_one


def test_an_identical_picture(networks, picture, half_mask):
    scores = score_one(networks, picture, half_mask, picture.copy())
    assert scores["structure_distance"] == pytest.approx(0, abs=1e-12)
    assert scores["psnr_unedit_part"] == float("inf")
    assert scores["lpips_unedit_part"] == scores["mse_unedit_part"] == 0
    assert scores["ssim_unedit_part"] == pytest.approx(1)


def test_a_full_mask_leaves_nothing_to_compare(networks, picture):
    scores = score_one(networks, picture, np.ones((64, 64), dtype=bool), 255 - picture)
    assert all(np.isnan(scores[column]) for column in BACKGROUND_COLUMNS)
    assert scores["clip_similarity_target_image"] == scores["clip_similarity_target_image_edit_part"]


def test_only_what_is_outside_the_mask_counts(networks, picture, half_mask):
    edited = picture.copy()
    edited[:, :32] = 255 - edited[:, :32]
    scores = score_one(networks, picture, half_mask, edited)
    assert scores["mse_unedit_part"] == 0
    assert scores["structure_distance"] > 0


def test_the_mean_runs_over_the_whole_picture(networks, picture, half_mask):
    base = np.full_like(picture, 100)
    scores = score_one(networks, base, half_mask, base + np.uint8(51))
    kept = 31 * 62 / 64**2  # half of the picture, without the frame
    assert scores["mse_unedit_part"] == pytest.approx(0.2**2 * kept, rel=1e-5)
    assert scores["psnr_unedit_part"] == pytest.approx(-10 * np.log10(0.2**2 * kept), rel=1e-5)


def test_a_block_scores_like_its_edits_alone(networks, picture, half_mask):
    pairs = [
        (picture, half_mask, 255 - picture),
        (255 - picture, ~half_mask, picture),
        (picture, np.ones_like(half_mask), np.roll(picture, 3, axis=0)),
    ]
    together = block(networks, pairs)
    for column in COLUMNS:
        alone = [score_one(networks, *pair, columns=[column])[column] for pair in pairs]
        assert score_edits(together, column) == pytest.approx(alone, rel=1e-5, nan_ok=True), column


def test_the_sources_side_is_computed_once(networks, picture, half_mask, monkeypatch):
    from piebench_eval.metrics.protocol import PAPER
    from piebench_eval.metrics.scoring_batch import ScoringBatch, SourceImage

    source = SourceImage(picture, half_mask, "a [cat]", "a [dog]")
    saved = [np.roll(picture, shift, axis=1) for shift in range(1, 5)]
    edits = ScoringBatch(networks, PAPER, [source], [0] * 4, saved, {})
    counted = {"dino": 0, "lpips": 0, "clip": 0, "text": 0}

    def count(what, holder, name):
        real = getattr(holder, name)

        def counting(argument, *others, **options):
            counted[what] += len(argument)
            return real(argument, *others, **options)

        monkeypatch.setattr(holder, name, counting)

    count("dino", networks.dino, "read")
    count("lpips", networks.lpips("lpips_weights"), "features")
    count("clip", networks.clip(None, "own"), "images")
    count("text", networks.clip(None, "own"), "texts")
    for column in COLUMNS:
        score_edits(edits, column)
    assert counted == {"dino": 1 + 4, "lpips": 1 + 4, "clip": 1 + 4 + 4, "text": 2}
