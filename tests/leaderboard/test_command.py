"""``piebench leaderboard`` as a user gives it."""

import csv
import io
import json

import pytest

from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.published.rows import published_rows
from tests.support.commands import piebench


def test_the_table_has_rows_spread_and_remarks():
    done = piebench("leaderboard", "--model", "SD3.5-medium", "--sort", "psnr")
    assert done.returncode == 0, done.stderr
    assert "FIA-Edit 2026" in done.stdout and "median of 4 sources" in done.stdout
    assert "rows read at second hand, in notes" in done.stdout
    assert done.stdout.index("DirectEdit") < done.stdout.index("FSI-Edit")


def test_csv_has_every_field_of_every_row():
    done = piebench("leaderboard", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    published = [row for row in rows if row["row"] == "published"]
    key = ("method", "model", "source", "steps")
    found = {tuple(row[name] for name in key): row for row in published}
    assert len(found) == len(published_rows())
    for row in published_rows():
        written = found[row.method, row.model, row.source, str(row.steps or "")]
        assert {name: float(written[name]) for name in METRIC_KEYS if written[name]} == row.numbers
        assert (written["note"], written["link"], written["read_from"]) == (
            row.note,
            row.link or "",
            row.read_from,
        )
    assert {row["row"] for row in rows} == {"published", "min", "median", "max"}


def test_json_has_ones_own_rows_with_their_intervals(own):
    with_own = [argument for path in own for argument in ("--with", path)]
    done = piebench("leaderboard", "--model", "SD1.4", "--images", 700, *with_own, "--format", "json")
    board = json.loads(done.stdout)
    mine = [row for row in board["rows"] if row["row"] in ("measured", "low", "high")]
    assert [row["row"] for row in mine] == ["measured", "low", "high"] * 2
    measured, low, high = mine[:3]
    assert low["psnr"] < measured["psnr"] < high["psnr"] and measured["source"] == "measured here"
    assert (measured["masks"], measured["prompted_by"], measured["images"]) == ("none", "target prompt", 700)
    marks = [row["marks"] for row in board["rows"] if row["combination"] == "direct+p2p"]
    assert len(marks) == 2 and all("inside the interval of direct+p2p" in mark for mark in marks)


@pytest.mark.parametrize("output", ["markdown", "latex"])
def test_formats_for_papers_have_the_rows(output):
    done = piebench("leaderboard", "--model", "flux", "--images", 700, "--format", output)
    assert done.returncode == 0 and "DNAEdit 2025" in done.stdout and "27.82" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sort", "clip"], "--sort clip: give one of"),
        (["--read-from", "blog"], "--read-from blog: give one of paper"),
        (["--model", "sd9"], "--model sd9: no published row fits"),
        (["--out", "x"], "--out: goes with --format html"),
        (["--with", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_a_wrong_option_is_named(arguments, words):
    done = piebench("leaderboard", *arguments)
    assert done.returncode == 2 and words in done.stderr


def test_the_page_replaces_an_older_one_and_nothing_else(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    done = piebench("leaderboard", "--format", "html", "--out", other)
    assert done.returncode == 2 and "piebench leaderboard did not make it" in done.stderr
    for _ in range(2):
        done = piebench("leaderboard", "--model", "flux", "--format", "html", "--out", tmp_path / "board")
        assert done.returncode == 0 and (tmp_path / "board" / "index.html").exists()
