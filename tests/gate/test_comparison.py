import numpy as np
import pandas as pd
import pytest

from piebench_eval.gate.comparison import compare, failures
from piebench_eval.tables.layout import TABLE_METRICS

TOLERANCES = {metric.key: 0.5 for metric in TABLE_METRICS}


def table(**changes):
    values = {metric.key: 10.0 for metric in TABLE_METRICS}
    rows = [
        {"method": "p2p", "inversion": "direct", "images": 10, **values, **changes},
        {"method": "oracle", "inversion": "", "images": 10, **values, "psnr": np.inf, "lpips": np.nan},
    ]
    return pd.DataFrame(rows)


def cell(**changes):
    """What becomes of direct+p2p's psnr."""
    cells = compare(table(**changes), table(), TOLERANCES)
    return next(cell for cell in cells if (cell.combination, cell.metric) == ("direct+p2p", "psnr"))


def departures(*arguments):
    """What is said of the cells that left the baseline."""
    return failures(compare(*arguments))


def test_within_tolerance_nothing_is_said():
    assert departures(table(psnr=10.4), table(), TOLERANCES) == []


@pytest.mark.parametrize("value", [10.6, 9.4, np.nan, np.inf])
def test_a_cell_that_moved_is_named(value):
    (line,) = departures(table(psnr=value), table(), TOLERANCES)
    assert "direct+p2p: psnr 10.000 ->" in line and "at most 0.5" in line


def test_a_missing_combination_is_named_once_and_fails_in_every_metric():
    assert departures(table().iloc[1:], table(), TOLERANCES) == ["direct+p2p: missing"]
    cells = compare(table().iloc[1:], table(), TOLERANCES)
    assert [cell.failed for cell in cells] == [True] * len(TABLE_METRICS) + [False] * len(TABLE_METRICS)


def test_new_rows_are_welcome():
    assert departures(table(), table().iloc[:1], TOLERANCES) == []


def test_a_metric_that_is_missing_is_named_and_one_that_is_new_is_not():
    without = table().drop(columns="mse")
    assert departures(without, table(), TOLERANCES) == [
        "direct+p2p: mse is missing",
        "oracle: mse is missing",
    ]
    assert departures(table(), without, TOLERANCES) == []


def test_metrics_beyond_table_1_are_held_too():
    more = {"dino_similarity": 50.0, "dino_similarity_nan": 0}
    tolerances = {**TOLERANCES, "dino_similarity": 1}
    (line,) = departures(table(**more | {"dino_similarity": 52.0}), table(**more).iloc[:1], tolerances)
    assert "dino_similarity 50.000 -> 52.000" in line


def test_the_interval_is_told_and_decides_nothing():
    narrow = cell(psnr=10.4, psnr_low=10.3, psnr_high=10.5)
    assert narrow.moved and not narrow.failed and narrow.baseline_inside is False
    wide = cell(psnr=12.0, psnr_low=5.0, psnr_high=20.0)
    assert wide.failed and wide.baseline_inside is True
    assert cell(psnr=12.0).baseline_inside is None


def test_what_does_not_show_has_not_moved():
    assert not cell(psnr=10.0001).moved
    assert cell(psnr=10.001).moved
    oracle = compare(table(), table(), TOLERANCES)[len(TABLE_METRICS) :]
    assert not any(cell.moved or cell.failed for cell in oracle), "inf is inf, and nan is nan"
