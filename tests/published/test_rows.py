"""The published rows: what ships with the package, and what is said of a line that is wrong."""

import csv
import subprocess
import sys
from decimal import Decimal
from importlib.resources import files

import pytest

from piebench_eval.combination_names import parts_of_name
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.published.models import HUB_IDS
from piebench_eval.published.row import METRIC_KEYS, PublishedRow
from piebench_eval.published.rows import REPRODUCTION, TABLE_1, published_rows, read_rows, rows_from
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.tables.layout import TABLE_METRICS

GOOD = {
    "method": "FlowEdit",
    "model": "SD3",
    "family": "sd3",
    "psnr": "22.20",
    "source": "X (arXiv 2501.00001, ICLR 2026) Table 2",
    "read_from": "paper",
}


def written(folder, *rows):
    file = folder / "rows.csv"
    columns = dict.fromkeys(name for row in rows for name in row)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_every_row_of_the_file_is_a_row():
    with (files("piebench_eval.published") / "rows.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = published_rows()
    assert len(rows) == len(lines) >= 212
    assert list(lines[0]) == list(PublishedRow.model_fields)
    for row, line in zip(rows, lines, strict=True):
        assert [str(row.printed.get(key, "")) for key in METRIC_KEYS] == [line[key] for key in METRIC_KEYS]


def test_metrics_are_those_of_the_tables():
    assert list(METRIC_KEYS) == [metric.key for metric in TABLE_METRICS]


def test_a_row_says_what_it_is():
    for row in published_rows():
        # Table 1's units: a raw structure distance, SSIM or LPIPS would be below 1.
        assert all(value > 1 for value in row.numbers.values()), row
        assert row.images != 620 or not row.combination or row.uncounted, row
        if row.combination:
            inversion, method = parts_of_name(row.combination)
            assert inversion in INVERSIONS.names() and method in METHODS.names(), row
            assert row.model in HUB_IDS and row.by, row
        assert not row.recipe or recipe_file(row.recipe), row
        assert row.note or not (row.doubtful or row.misprints), row


def test_no_row_stands_there_twice():
    rows = [(row.method, row.model, row.steps, row.source) for row in published_rows()]
    assert not {row for row in rows if rows.count(row) > 1}


def test_table_1_and_its_reproduction_are_rows():
    paper, again = rows_from(TABLE_1), rows_from(REPRODUCTION)
    assert (len(paper), len(again)) == (8, 12)
    assert {row.combination for row in paper} <= {row.combination for row in again}
    (corrected,) = [row for row in paper if row.misprints]
    assert (corrected.combination, corrected.numbers["psnr"]) == ("direct+pnp", 22.46)
    assert corrected.misprints == {"psnr": Decimal("22.28"), "lpips": Decimal("113.46")}
    misprinted = corrected.as_misprinted()
    assert (misprinted.psnr, misprinted.lpips, misprinted.mse) == (
        Decimal("22.28"),
        Decimal("113.46"),
        corrected.mse,
    )


def test_digits_stay_as_they_are_printed(tmp_path):
    (row,) = read_rows(written(tmp_path, {**GOOD, "settings": "steps=50;inversion.alpha=0.8", "lpips": ""}))
    assert str(row.psnr) == "22.20" and row.numbers == {"psnr": 22.2}
    assert row.settings == {"steps": 50, "inversion.alpha": 0.8}
    assert (row.year, row.link, row.printed_in) == (2026, "https://arxiv.org/abs/2501.00001", "X")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"psnr": "22,2"}, ["psnr", "22,2"]),
        ({"psnr": "-1"}, ["psnr", "-1"]),
        ({"psnr": ""}, ["no mean is given"]),
        ({"model": " "}, ["model: is missing"]),
        ({"family": "sd4"}, ["family", "sd3", "sd4"]),
        ({"images": "all"}, ["images", "all"]),
        ({"masks_at_inference": "yes"}, ["masks_at_inference", "benchmark"]),
        ({"doubtful": "ssim"}, ["doubtful", "ssim"]),
        ({"misprints": "22.3"}, ["misprints", "NAME=VALUE"]),
        ({"settings": "steps"}, ["settings", "NAME=VALUE"]),
        ({"imges": "700"}, ["imges: no such field; is images meant?"]),
    ],
)
def test_a_wrong_row_is_named_by_file_line_and_field(tmp_path, change, words):
    file = written(tmp_path, dict.fromkeys([*GOOD, *change], "") | GOOD, {**GOOD, **change})
    with pytest.raises(PiebenchError) as caught:
        read_rows(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and all(word in message for word in ["line 3: ", *words]), message


@pytest.mark.parametrize(("line", "words"), [("a,b,sd3,1,x,paper,c", "more cells"), ("a,b", "fewer cells")])
def test_a_line_of_another_length_is_refused(tmp_path, line, words):
    file = tmp_path / "rows.csv"
    file.write_text(f"method,model,family,psnr,source,read_from\n{line}\n")
    with pytest.raises(PiebenchError, match=f"line 2: {words}"):
        read_rows(file)


def test_rows_are_read_without_torch_and_pandas():
    code = (
        "import sys; from piebench_eval.published.rows import published_rows; published_rows();"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
