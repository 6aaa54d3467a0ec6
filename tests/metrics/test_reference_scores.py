"""The reference evaluator's numbers, cell by cell."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from piebench_eval.bench.images import load_image, load_mask
from piebench_eval.bench.pie_bench import load_pie_bench
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.networks import MetricModels
from piebench_eval.metrics.suite import SourceFeatures, Suite, score_edit
from piebench_eval.runs.scoring import folder_candidates, read_edit

pytestmark = pytest.mark.golden
NAME = "directinversion+p2p"

# relative and absolute tolerance of each column, from the recordings' README
TOLERANCES = {
    "structure_distance": (1e-4, 1e-8),
    "psnr_unedit_part": (0, 1e-4),
    "mse_unedit_part": (1e-5, 1e-12),
    "lpips_unedit_part": (1e-3, 1e-8),
    "ssim_unedit_part": (0, 2e-5),
    "clip_similarity_source_image": (0, 1e-3),
    "clip_similarity_target_image": (0, 1e-3),
    "clip_similarity_target_image_edit_part": (0, 1e-3),
}


@pytest.fixture(scope="module")
def suite(golden_metrics):
    models = golden_metrics / "models"
    return Suite(
        MetricModels(
            str(models / "dino-vit-tiny-patch8"),
            str(models / "openai-clip-tiny"),
            str(models / "squeezenet1_1-features-random.safetensors"),
        ),
        torch.device("cpu"),
    )


@pytest.fixture(scope="module")
def scores(golden_metrics, suite):
    samples = load_pie_bench(golden_metrics / "data")
    candidates, missing = folder_candidates(golden_metrics / "output" / NAME, samples, NAME)
    assert not missing
    rows = {}
    for candidate in candidates:
        sample = candidate.sample
        image, mask = load_image(sample.file), load_mask(sample)
        features = SourceFeatures(suite, image, mask, sample.source_prompt, sample.target_prompt)
        rows[sample.id] = score_edit(features, read_edit(candidate))
    return rows


@pytest.mark.parametrize("column", COLUMNS)
def test_every_cell(golden_metrics, scores, column):
    relative, absolute = TOLERANCES[column]
    with (golden_metrics / "metrics_golden.csv").open() as stream:
        expected = {row["file_id"]: float(row[f"1_{NAME}|{column}"]) for row in csv.DictReader(stream)}
    assert set(scores) == set(expected)
    for sample_id, value in expected.items():
        measured = scores[sample_id][column]
        if math.isfinite(value):
            assert measured == pytest.approx(value, rel=relative, abs=absolute), sample_id
        else:
            assert str(measured) == str(value), sample_id


def test_intermediates(golden_metrics, suite):
    """Where a difference would arise: the self-similarity, the text embedding, the mask."""
    expected = json.loads((golden_metrics / "intermediates.json").read_text())
    for sample in load_pie_bench(golden_metrics / "data"):
        about = expected[sample.id]
        assert load_mask(sample).sum() == about["mask_sum"]
        assert (sample.source_prompt, sample.target_prompt) == (
            about["source_prompt"],
            about["target_prompt"],
        )
        image = torch.from_numpy(load_image(sample.file)).permute(2, 0, 1).float()
        similarity = suite.structure(image)
        assert similarity.mean().item() == pytest.approx(about["key_selfsim_source"]["mean"], rel=1e-5)
        text = suite.clip.text(sample.target_prompt)
        text = text / text.norm()
        np.testing.assert_allclose(text[:5], about["clip_text_embedding_target_first5"], atol=1e-5)


def test_an_over_long_prompt_is_cut_behind_its_77th_token(suite):
    """No end token is left: the embedding is read at the largest remaining id, not at the start token."""
    long = "a cat sitting " * 40 + "astronaut"
    embedding = suite.clip.text(long)
    assert not torch.allclose(embedding, suite.clip.text("sitting"))
    cut = " ".join(long.split()[:76])
    assert torch.allclose(embedding, suite.clip.text(cut), atol=1e-6)
