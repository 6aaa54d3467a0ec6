"""Means of scored pictures that cannot be true are marked in tables and named below them."""

import numpy as np
import pandas as pd
import pytest

from piebench_eval.metrics.protocol import AverageRules
from piebench_eval.tables.faults import find_faults
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.score_table import make_score_table
from piebench_eval.tables.views import means_view


def measured(pictures=40):
    """Scores of two methods whose PSNR is that of their MSE, as the package computes them."""
    random = np.random.default_rng(0)
    frames = []
    for name in ("a", "b"):
        mse = 10 ** random.normal(-2.3, 0.3, pictures)
        scores = {"psnr_unedit_part": -10 * np.log10(mse), "mse_unedit_part": mse}
        ids = [str(number) for number in range(pictures)]
        frames.append(pd.DataFrame({"id": ids, "name": name, **scores, "ssim_unedit_part": 0.8}))
    return pd.concat(frames, ignore_index=True)


def shown(scores):
    table = make_score_table(scores, {}, None)
    return means_view(table, table.metrics(every=True))


def test_measured_pictures_have_no_faults_even_without_those_that_are_identical():
    scores = measured()
    assert shown(scores).remarks == []
    scores.loc[:19, ["psnr_unedit_part", "mse_unedit_part"]] = [np.inf, 0.0]  # their PSNRs are in no mean
    assert [remark for remark in shown(scores).remarks if "impossible" in remark] == []


def test_an_mse_in_another_unit_is_marked_and_named():
    scores = measured()
    scores.loc[scores["name"] == "b", "mse_unedit_part"] /= 10
    view = shown(scores)
    assert view.marks[1, "mse"] is Mark.FAULTY
    assert (0, "mse") not in view.marks
    means, pictures = view.remarks
    assert means.startswith("b: MSE ") and "is impossible beside PSNR" in means and "×10³" in means
    assert pictures.startswith("b: PSNR is not -10 log10 of MSE in 40 pictures")


@pytest.mark.parametrize(
    ("output", "number"), [("markdown", "*{}*"), ("latex", r"\textit{{{}}}")], ids=["markdown", "latex"]
)
def test_the_marks_are_printed(output, number):
    scores = measured()
    scores["ssim_unedit_part"] = np.where(scores["name"] == "a", 1.8, 0.8)
    view = shown(scores)
    text = to_text(view.table, output, view.remarks, view.marks, view.sections)
    assert number.format("180.00") in text
    assert "80.00" in text and number.format("80.00") not in text
    assert "a: SSIM 180.00 (per cent) is out of range" in text


def test_rows_over_fewer_pictures_are_named():
    scores = measured()
    (remark,) = shown(scores[:-10]).remarks
    assert remark.startswith("b: the means rest on 30 pictures, those of other rows on 40")


def test_pictures_that_count_as_zero_are_not_held_against_each_other():
    scores = measured()
    scores.loc[scores["name"] == "a", ["psnr_unedit_part", "mse_unedit_part"]] = np.nan
    rules = AverageRules(nan="zero")
    table = make_score_table(scores, {}, None)
    means = table.means.assign(psnr=10.0, mse=1.0, psnr_n=40, mse_n=40)
    assert find_faults(means, rules) == []
    assert [one.rule for one in find_faults(means, table.rules)] == ["mse-below-psnr"] * 2
