"""What a comparison becomes on its way out: JUnit, Markdown, JSON."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from piebench_eval.gate.comparison import ComparedCell
from piebench_eval.gate.report import moved_table, to_junit, to_markdown, to_records, verdict

HOLDS = ComparedCell("direct+p2p", "psnr", 30.0, 30.01, 0.1, 29.0, 31.0)
MOVED = ComparedCell("direct+p2p", "ssim", 96.0, 95.0, 0.1, 94.9, 95.1)
MISSING = ComparedCell("ddim+p2p", "psnr", 29.0, None, 0.1, row_is_missing=True)
ENDLESS = ComparedCell("oracle", "psnr", np.inf, np.inf, 0.1)


def test_junit_has_a_case_per_cell():
    root = ElementTree.fromstring(to_junit([HOLDS, MOVED, MISSING], "gate"))
    (suite,) = root
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("gate", "3", "2")
    cases = {(case.get("classname"), case.get("name")): case.find("failure") for case in suite}
    assert cases["direct+p2p", "psnr"] is None
    assert cases["direct+p2p", "ssim"].get("type") == "moved"
    assert "96.000 -> 95.000" in cases["direct+p2p", "ssim"].get("message")
    assert cases["ddim+p2p", "psnr"].get("type") == "missing"


@pytest.mark.parametrize(
    "name", ["a<b>&\"'c", "bell\x07", "half \ud800", "tab\tline\n", "日本語 🎨", "]]>", ""]
)
def test_junit_is_valid_xml_whatever_a_method_is_called(name):
    root = ElementTree.fromstring(to_junit([ComparedCell(name, "psnr", 1.0, 9.0, 0.1)], name))
    (case,) = root.iter("testcase")
    assert case.get("classname") == name.replace("\x07", "\ufffd").replace("\ud800", "\ufffd")


def test_the_verdict_names_the_largest_move():
    assert verdict([HOLDS, ENDLESS]) == (
        "2 cells hold; the largest move is 10.0% of what is allowed (direct+p2p: psnr)."
    )
    assert verdict([ENDLESS]) == "1 cells hold; none has moved."
    assert verdict([HOLDS, MOVED, MISSING]).startswith("2 of 3 cells")


def test_moved_cells_have_all_that_is_known():
    shown = moved_table([HOLDS, MOVED, MISSING, ENDLESS]).to_dict(orient="records")
    assert [row["result"] for row in shown] == ["holds", "FAILED", "FAILED"]
    moved = shown[1]
    assert (moved["baseline"], moved["now"], moved["difference"]) == ("96.000", "95.000", "-1.000")
    assert (moved["tolerance"], moved["in 95%"], shown[0]["in 95%"]) == ("0.1", "no", "yes")
    assert (shown[2]["metric"], shown[2]["now"]) == ("all", "missing")


def test_a_missing_combination_has_one_row():
    rows = moved_table([MISSING, replace(MISSING, metric="ssim"), replace(MISSING, row_is_missing=False)])
    assert rows["metric"].tolist() == ["all", "psnr"]
    assert moved_table([ENDLESS]).empty


def test_markdown_stays_a_table_whatever_a_method_is_called():
    text = to_markdown([ComparedCell("a|b`<img>\n", "psnr", 1.0, 9.0, 0.1)], "x | y", ["a remark"])
    lines = text.splitlines()
    assert lines[0].startswith("### FAILED: x") and lines[-1] == "- a remark"
    (row,) = [line for line in lines if "FAILED |" in line]
    assert row.replace("\\|", "").count("|") == 9
    assert "<img>" not in text and "`" not in text
    assert to_markdown([HOLDS], "x", []).startswith("### Passed: x")


def test_json_has_no_infinity():
    text = json.dumps(to_records([HOLDS, MISSING, ENDLESS]), allow_nan=False)
    holds, missing, endless = json.loads(text)
    assert holds["baseline_inside_interval"] is True and not holds["failed"]
    assert missing["now"] is None and missing["failed"]
    assert endless["now"] == "inf" and not endless["failed"]
