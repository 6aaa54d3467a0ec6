"""How far from the paper a number may be: what was seen between the paper and its reproduction."""

from pathlib import Path

import numpy as np
import pytest

import piebench_eval as pb
from piebench_eval.combination_names import parts_of_name
from piebench_eval.published.rows import REPRODUCTION, TABLE_1, rows_from
from piebench_eval.tables.aggregate import aggregate
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.compare import compare_with_paper
from piebench_eval.tables.paper.tolerances import reproduction_tolerance, tolerance_line
from tests.tables.test_tables import PAPER_LIKE, scores

KEYS = [metric.key for metric in TABLE_METRICS]
NOW = {"structure_distance": 0.34, "psnr": 0.03, "lpips": 1.11, "mse": 1.3, "ssim": 0.42}
NOW |= {"clip_whole": 0.12, "clip_edit": 0.03}
RESULTS = Path(__file__).parents[3] / "docs" / "results.md"


def differences(metric):
    """By inversion, in hundredths, with the paper's own values where the study copied a wrong row."""
    papers = {row.combination: row for row in rows_from(TABLE_1)}
    for report in rows_from(REPRODUCTION):
        if paper := papers.get(report.combination):
            pair = paper.numbers[metric], report.numbers[metric]
            yield parts_of_name(paper.combination)[0], abs(round(100 * pair[0]) - round(100 * pair[1]))


@pytest.mark.parametrize("metric", KEYS)
def test_a_tolerance_is_the_largest_difference_of_deterministic_rows(metric):
    found = list(differences(metric))
    still = [difference for inversion, difference in found if inversion != "edit_friendly"]
    noisy = [difference for inversion, difference in found if inversion == "edit_friendly"]
    assert (len(still), len(noisy)) == (7, 1)
    for inversion in ("ddim", "direct", "null_text"):
        assert reproduction_tolerance(metric, inversion) == max(still) / 100 == NOW[metric]
    assert reproduction_tolerance(metric, "edit_friendly") == max(still + noisy) / 100


def compared(**columns):
    """Verdict and interval of PSNR for pictures of direct+p2p, whose paper's mean is 27.22."""
    table = compare_with_paper(aggregate(scores(700, inversions=("direct",), **columns)), PAPER_LIKE).table
    return table.set_index("metric").loc["psnr"]


def spread_around(mean):
    return mean + np.random.default_rng(1).permutation(np.linspace(-9, 9, 700))


def test_a_broken_method_inside_the_interval_differs():
    """Half a decibel from the paper: nothing that reproduces it does that, and an interval may hold it."""
    row = compared(psnr_unedit_part=spread_around(26.86))
    assert row["inside_interval"] and row["verdict"] == "differs"
    assert row["tolerance"] == 0.03


def test_a_number_within_the_tolerance_agrees_though_its_interval_is_narrower():
    row = compared(psnr_unedit_part=27.245 + np.linspace(-0.01, 0.01, 700))
    assert not row["inside_interval"] and row["verdict"] == "agrees"


@pytest.mark.parametrize(("mean", "verdict"), [(27.2549, "agrees"), (27.2551, "differs")])
def test_numbers_are_held_against_each_other_as_they_are_printed(mean, verdict):
    """27.25 is 0.03 from 27.22, which floats do not know."""
    assert compared(psnr_unedit_part=mean)["verdict"] == verdict


def test_no_number_gets_no_verdict():
    assert compared(psnr_unedit_part=np.nan)["verdict"] == ""


def test_the_line_and_the_documentation_say_the_tolerances():
    line, page = tolerance_line(), RESULTS.read_text(encoding="utf-8")
    for kind, inversion in (("deterministic inversions", "direct"), ("edit_friendly", "edit_friendly")):
        numbers = [f"{reproduction_tolerance(key, inversion):g}" for key in KEYS]
        assert f"| {kind} | {' | '.join(numbers)} |" in page
        assert f"{kind}: " + ", ".join(map(" ".join, zip(KEYS, numbers, strict=True))) in line
    table = compare_with_paper(aggregate(scores(700, inversions=("edit_friendly",))), PAPER_LIKE).table
    assert table["tolerance"].tolist() == [reproduction_tolerance(key, "edit_friendly") for key in KEYS]


def test_every_format_for_programs_says_the_tolerances():
    frame = scores(3, inversions=("direct",))
    table = pb.table(frame, compare_paper=True)
    assert tolerance_line() in table.attrs["remarks"]
    assert table["tolerance"].tolist() == [NOW[key] for key in KEYS]
    assert "inside_interval" in table.columns
