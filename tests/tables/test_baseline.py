import numpy as np
import pandas as pd
import pytest

from piebench_eval.tables.baseline import departures
from piebench_eval.tables.layout import METRICS

TOLERANCES = {metric.key: 0.5 for metric in METRICS}


def table(**changes):
    values = {metric.key: 10.0 for metric in METRICS}
    rows = [
        {"method": "p2p", "inversion": "direct", "images": 10, **values, **changes},
        {"method": "oracle", "inversion": "", "images": 10, **values, "psnr": np.inf, "lpips": np.nan},
    ]
    return pd.DataFrame(rows)


def test_within_tolerance_nothing_is_said():
    assert departures(table(psnr=10.4), table(), TOLERANCES) == []


@pytest.mark.parametrize("value", [10.6, 9.4, np.nan, np.inf])
def test_a_cell_that_moved_is_named(value):
    (line,) = departures(table(psnr=value), table(), TOLERANCES)
    assert "direct+p2p: psnr" in line and "at most 0.5" in line


def test_missing_rows_and_other_sample_counts_are_named():
    assert departures(table().iloc[1:], table(), TOLERANCES) == ["direct+p2p: missing"]
    (line,) = departures(table(images=9), table(), TOLERANCES)
    assert "9 images, the baseline has 10" in line


def test_new_rows_are_welcome():
    assert departures(table(), table().iloc[:1], TOLERANCES) == []


def test_a_metric_that_is_missing_is_named_and_one_that_is_new_is_not():
    without = table().drop(columns="mse")
    assert departures(without, table(), TOLERANCES) == [
        "direct+p2p: mse is missing",
        "oracle: mse is missing",
    ]
    assert departures(table(), without, TOLERANCES) == []
