"""``piebench lint`` as a user meets it."""

import csv
import json

import pytest

from piebench_eval.lint.check import published_faults
from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.published.rows import REPRODUCTION, TABLE_1, published_rows, rows_from
from tests.support.commands import in_a_new_process, piebench

IMPOSSIBLE = {
    "ReNoise": "no unit makes it true",
    "TurboEdit (Deutch et al.)": "9.48 is ×10³: print 94.8 ",
    "iCD": "3.33 is ×10³: print 33.3 ",
    "SwiftEdit": "6.58 is ×10³: print 65.8 ",
    "SwiftEdit, ground-truth masks": "6.19 is ×10³: print 61.9 ",
}
"""Rows of SwiftEdit's Table 6, and what the linter says of their MSE."""

DOUBTFUL = {
    ("misprint", "RF-Inversion", "lpips"),  # 79.3; six others print 160 to 196
    ("misprint", "FlowEdit", "ssim"),  # 93.22; three others print 83.5 to 84.1
    ("clip-exchanged", "SwiftEdit", "clip_whole"),  # 21.16; the same paper's Table 1 has 25.16
    ("digits-of-another", "InfEdit", "structure_distance"),  # three values of Direct Inversion + MasaCtrl
    ("changed-copy", "PnP", "psnr"),  # Table 1's row but for 22.64, where it has 22.46
}
"""What else is known to be wrong in the published rows: rule, row and first metric."""

COPIES = {
    "DDIM + Pix2Pix-Zero",
    "FTEdit",
    "SplitFlow, structure variant",
    "RF-Inversion",
    "UniEdit-Flow, alpha 0.6",
}
"""Methods whose row is printed in several sources."""


def lint(*arguments):
    done = piebench("lint", *arguments)
    return done.returncode, done.stdout


def lint_json(*arguments):
    code, output = lint(*arguments, "--json")
    return code, json.loads(output)


@pytest.fixture(scope="module")
def published():
    return lint_json("--published")


def test_the_impossible_published_rows_are_found_with_their_units(published):
    code, found = published
    impossible = {one["row"]: one["mend"] for one in found["findings"] if one["level"] == "impossible"}
    assert code == 1
    assert impossible.keys() == IMPOSSIBLE.keys()
    assert all(text in impossible[row] for row, text in IMPOSSIBLE.items())


def test_no_published_row_that_is_right_is_found(published):
    _, found = published
    others = {
        (one["rule"], one["row"], one["keys"][0]) for one in found["findings"] if one["level"] != "impossible"
    }
    assert others == DOUBTFUL


def test_every_published_mean_that_is_called_doubtful_is_found():
    found = published_faults()
    for position, row in enumerate(published_rows()):
        assert set(row.doubtful) <= found.get(position, {}).keys(), row
    assert sum(map(len, found.values())) == 12


def test_baselines_that_others_repeat_are_notes(published):
    _, found = published
    notes = {one["row"] for one in found["notes"] if one["rule"] == "copied-row"}
    assert notes == COPIES


def test_the_copy_errors_of_table_1_are_found_and_nothing_else(tmp_path):
    """Table 1 as a reproduction's report prints it, and the reproduction's own numbers."""
    for name, rows in (("paper", rows_from(TABLE_1)), ("report", rows_from(REPRODUCTION))):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["method", *METRIC_KEYS])
            for row in rows:
                writer.writerow([row.method, *map(row.as_misprinted().printed.get, METRIC_KEYS)])
    code, found = lint_json(tmp_path / "paper.csv")
    errors = [(one["row"], one["keys"], one["mend"]) for one in found["findings"]]
    assert code == 1
    assert [(row, keys) for row, keys, _ in errors] == [
        ("Direct Inversion + PnP", [key]) for key in ("psnr", "lpips")
    ]
    assert "print 22.46" in errors[0][2]
    assert "print 106.06" in errors[1][2]
    assert all("the value of DDIM + PnP" in one["what"] for one in found["findings"])
    assert lint_json(tmp_path / "report.csv")[0] == 0


def test_the_demos_tables_have_no_findings(tmp_path):
    """Its small pictures have other values than the benchmark's; two of its rows are no edits."""
    (tmp_path / "demo.csv").write_text(
        "model,method,inversion,images,structure_distance,psnr,psnr_n,lpips,mse,ssim,clip_whole,clip_edit\n"
        "demo,p2p,ddim,1,156.505,22.625932693481445,1,54.68,54.62690722197294,95.2,93.1,34.5\n"
        "demo,p2p,direct,1,146.4,30.63,1,5.98,17.22,96.1,93.7,24.5\n"
        "demo,oracle,,1,143.5,inf,0,0.0,0.0,99.98953759670258,94.7,24.2\n"
        "demo,source-copy,,1,0.0,inf,0,0.0,0.0,99.98953759670258,73.3,17.4\n"
    )
    code, output = lint(tmp_path / "demo.csv")
    assert (code, output) == (0, "no findings in 4 rows of 1 table\n")


def test_a_finding_says_what_where_why_and_what_mends_it(tmp_path):
    (tmp_path / "mine.md").write_text("|Method|PSNR|MSE ×10⁴|NFE|\n|-|-|-|-|\n|Zeta|22.43|9.48|4|\n")
    code, output = lint(tmp_path / "mine.md")
    assert code == 1
    where, what, why, mend, _, note, summary = output.splitlines()
    assert where == f"{tmp_path / 'mine.md'}:3, Zeta, MSE ×10^4"
    assert what.startswith("  impossible: MSE 9.48 (×10⁴) is impossible beside PSNR 22.43")
    assert why.startswith("  why: ")
    assert mend.startswith("  mend: it is true if 9.48 is ×10³: print 94.8")
    assert note.endswith("columns that are not read: NFE")
    assert summary == "1 finding (1 impossible) in 1 row of 1 table"


def test_exit_codes_without_findings_and_with_errors(tmp_path):
    (tmp_path / "right.csv").write_text("method,psnr,mse\nZeta,22.43,94.8\n")
    assert lint(tmp_path / "right.csv")[0] == 0
    assert lint()[0] == 2
    assert lint(tmp_path / "none.csv")[0] == 2
    code, error = lint_json(tmp_path / "right.csv", tmp_path / "none.csv")
    assert code == 2
    assert "no such file" in error["error"]


def test_nothing_heavy_is_imported(tmp_path):
    commands = ["lint", "--help"], ["lint", tmp_path / "none.csv"], ["lint", "--published", "--json"]
    done = in_a_new_process(*commands, heavy=("torch", "pandas", "numpy"))
    assert [one.returncode for one in done] == [0, 2, 1]
    assert not any(one.heavy for one in done)
