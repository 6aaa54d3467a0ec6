"""The benchmark's plain evaluator, which shares nothing, agrees with the suite, which shares all it can."""

import pytest
import torch

from piebench_eval.metrics.columns import COLUMNS
from scripts import benchmark_scoring


def test_both_evaluators_agree(tmp_path):
    models = benchmark_scoring.save_models(tmp_path, small=True)
    edited_images = benchmark_scoring.save_benchmark(tmp_path / "bench", samples=2)
    some = [edited_images[0], edited_images[11], edited_images[12]]
    plain = benchmark_scoring.PlainEvaluator(models, torch.device("cpu"))
    rows, _, _ = benchmark_scoring.score_all(some, models, "cpu", tmp_path)
    for edited_image, row in zip(some, rows, strict=True):
        for column, value in plain.score(edited_image).items():
            assert row[column] == pytest.approx(value, rel=1e-4, abs=2e-5), column
    assert set(COLUMNS) <= set(rows[0])
