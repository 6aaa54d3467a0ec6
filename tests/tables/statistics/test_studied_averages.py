"""What rules for nan and inf make of the recordings' five pictures, against the study's figures."""

import csv

import numpy as np
import pytest

from piebench_eval.metrics.protocol import PAPER
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.statistics.averages import mean_of

pytestmark = pytest.mark.golden
BY_KEY = {metric.key: metric for metric in TABLE_METRICS}


@pytest.mark.parametrize(
    ("key", "rules", "expected"),
    [
        ("psnr", {"inf": "kept"}, np.inf),
        ("psnr", {}, 32.31),
        ("psnr", {"nan": "zero"}, 24.23),
        ("psnr", {"inf": "100"}, 49.23),
        ("ssim", {}, 92.68),
        ("ssim", {"nan": "zero"}, 74.14),
    ],
)
def test_five_pictures_one_of_them_untouched_and_one_without_background(golden_metrics, key, rules, expected):
    with (golden_metrics / "metrics_golden.csv").open() as stream:
        column = f"1_directinversion+p2p|{BY_KEY[key].column}"
        values = np.array([float(row[column]) for row in csv.DictReader(stream)])
    mean = mean_of(values, BY_KEY[key], PAPER.with_changes({"average": rules}).average)
    assert mean == pytest.approx(expected, abs=0.005)
