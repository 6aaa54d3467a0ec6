"""What stands out in a table, and which rows it is held against."""

import numpy as np
import pandas as pd
import pytest

from piebench_eval.tables.formats.marks import Mark, by_combination, by_method, rank_marks, verdict_marks
from piebench_eval.tables.layout import TABLE_METRICS

BY_KEY = {metric.key: metric for metric in TABLE_METRICS}


def marks_of(values, metric="psnr", methods=None, inversions=None):
    """The marks of a column of means, top to bottom."""
    means = pd.DataFrame(
        {
            "method": methods or ["p2p"] * len(values),
            "inversion": inversions or [f"inversion {row}" for row in range(len(values))],
            metric: values,
        }
    )
    found = rank_marks(means, [BY_KEY[metric]])
    return [found.get((row, metric)) for row in range(len(values))]


@pytest.mark.parametrize(
    ("metric", "marks"),
    [("psnr", [None, Mark.SECOND, Mark.BEST]), ("lpips", [Mark.BEST, Mark.SECOND, None])],
)
def test_best_is_what_is_better_in_the_metric(metric, marks):
    assert marks_of([20.0, 25.0, 27.0], metric) == marks


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ([27.0, 27.0, 25.0, 20.0], [Mark.BEST, Mark.BEST, Mark.SECOND, None]),
        ([27.0, 25.0, 25.0, 20.0], [Mark.BEST, Mark.SECOND, Mark.SECOND, None]),
        ([27.001, 27.004, 25.0], [Mark.BEST, Mark.BEST, Mark.SECOND]),
        ([27.0, 27.0], [Mark.BEST, Mark.BEST]),
    ],
)
def test_means_that_print_alike_share_a_place(values, marks):
    assert marks_of(values) == marks


@pytest.mark.parametrize("none", [np.inf, np.nan])
def test_what_is_no_number_takes_no_place(none):
    assert marks_of([none, 25.0, 27.0]) == [None, Mark.SECOND, Mark.BEST]
    assert marks_of([none, 27.0]) == [None, None]


def test_each_editing_method_has_a_best_of_its_own():
    marks = marks_of([20.0, 21.0, 30.0, 31.0, 40.0], methods=["p2p", "p2p", "pnp", "pnp", "masactrl"])
    assert marks == [Mark.SECOND, Mark.BEST, Mark.SECOND, Mark.BEST, None]


def test_rows_that_no_inversion_made_are_for_reference():
    methods, inversions = ["p2p", "p2p", "oracle", "source-copy"], ["ddim", "direct", "", ""]
    assert marks_of([20.0, 21.0, 99.0, 98.0], methods=methods, inversions=inversions)[2:] == [None, None]
    named = pd.DataFrame({"name": ["mine", "yours"], "psnr": [20.0, 21.0]})
    assert rank_marks(named, [BY_KEY["psnr"]]) == {}


def test_a_difference_is_marked_by_its_verdict_and_not_by_an_interval():
    table = pd.DataFrame(
        {
            "verdict": ["agrees", "", "differs"],
            "inside_interval": pd.array([False, True, True], dtype="boolean"),
        }
    )
    assert verdict_marks(table) == {(0, "difference"): Mark.AGREES, (2, "difference"): Mark.DIFFERS}


def test_reference_rows_stand_together():
    means = pd.DataFrame({"method": ["p2p", "oracle", "source-copy"], "inversion": ["ddim", "", ""]})
    assert by_method(means) == ["p2p", "", ""]
    assert by_method(pd.DataFrame({"name": ["mine", "yours"]})) == ["", ""]


def test_a_combination_is_what_stands_before_metric_or_type():
    table = pd.DataFrame(
        {"method": ["p2p"] * 3, "inversion": ["ddim", "ddim", "direct"], "type": list("121"), "psnr": 1.0}
    )
    assert by_combination(table) == [("p2p", "ddim"), ("p2p", "ddim"), ("p2p", "direct")]
    assert len(set(by_combination(table.drop(columns="type")))) == 1
