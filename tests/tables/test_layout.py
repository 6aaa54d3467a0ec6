"""Which columns of a scores file become columns of a table."""

import pytest

from piebench_eval.metrics import METRICS
from piebench_eval.metrics.base import Metric
from piebench_eval.metrics.columns import CLIP_SOURCE, COLUMNS, LPIPS, PSNR, SSIM
from piebench_eval.tables.layout import TABLE_METRICS, displayed_metrics, metrics_in


def keys(columns):
    return [metric.key for metric in metrics_in(columns)]


def test_table_1_comes_first_in_its_order():
    assert keys([SSIM, "dino_similarity", PSNR]) == ["psnr", "ssim", "dino_similarity"]
    assert keys(reversed(COLUMNS)) == [*(metric.key for metric in TABLE_METRICS), CLIP_SOURCE]


def test_columns_that_are_no_metrics_are_passed_over():
    assert keys(["id", "type", "notes", LPIPS, "score_of_a_lost_plugin"]) == ["lpips"]


def test_a_column_named_like_one_of_table_1_does_not_take_its_place():
    assert keys([PSNR, "psnr"]) == ["psnr", "psnr_everywhere"]


def test_width_is_not_spent_on_the_source_images_score():
    metrics = metrics_in([*COLUMNS, "dino_similarity"])
    assert [metric.key for metric in displayed_metrics(metrics)] == [
        *(m.key for m in TABLE_METRICS),
        "dino_similarity",
    ]


def test_better_and_scale_are_those_of_the_registry():
    for metric in metrics_in(COLUMNS):
        registered = METRICS.get(metric.column)
        assert (metric.better, metric.scale) == (registered.better, registered.scale)
        assert ("↑" if metric.better == "higher" else "↓") in metric.title


@pytest.mark.parametrize(("unit", "title"), [("", "Mine\n↓"), ("%", "Mine\n% ↓")])
def test_a_plugins_metric_is_shown_in_its_unit(monkeypatch, unit, title):
    mine = Metric(title="Mine", paper="ours", better="lower", score=lambda edits: [], scale=100, unit=unit)
    monkeypatch.setattr(METRICS, "_plugins", {"mine": (mine, "plugin mine.py")})
    (metric,) = metrics_in(["mine"])
    assert (metric.title, metric.scale, metric.better) == (title, 100, "lower")
