"""What the page's script is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.data.prompts import marked_phrases, strip_brackets
from piebench_eval.metrics.columns import PSNR, STRUCTURE_DISTANCE
from piebench_eval.report.data import page_data, prompt_parts, to_data_script
from piebench_eval.report.links import Link, links_of
from piebench_eval.tables.aggregate import aggregate
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.statistics.paired_comparison import compare_all_with
from tests.report.synthetic import HOSTILE, sample, score_rows, scored_run

PAIRS = [("ddim", "p2p"), ("direct", "p2p")]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=40)


def data_of(run):
    return page_data(run, [Link("images", ".png")] * len(run.combinations))


@pytest.fixture
def samples(tmp_path):
    return [sample(number, tmp_path) for number in range(12)]


def keys(data):
    return [metric["key"] for metric in data["metrics"]]


def test_scores_are_in_tables_units_with_four_digits(samples, tmp_path):
    rows = score_rows(samples, PAIRS)
    data = data_of(scored_run(tmp_path, samples, PAIRS, rows))
    direct = rows[rows["inversion"] == "direct"].reset_index()
    structure = keys(data).index("structure_distance")
    for number in range(len(samples)):
        exact = direct.loc[number, STRUCTURE_DISTANCE] * 1000
        assert data["scores"][1][number][structure] == pytest.approx(exact, rel=5e-4)
    assert max(len(str(value)) for score in data["scores"][1] for value in score) <= 6


def test_what_json_cannot_say_has_a_word(samples, tmp_path):
    rows = score_rows(samples, PAIRS)
    rows.loc[0, PSNR], rows.loc[1, PSNR] = np.inf, np.nan
    data = data_of(scored_run(tmp_path, samples, PAIRS, rows.drop(index=2)))
    psnr = keys(data).index("psnr")
    assert [row and row[psnr] for row in data["scores"][0][:3]] == ["inf", None, None]
    assert data["scores"][0][2] is None
    json.dumps(data, allow_nan=False)


def test_means_and_types_are_those_of_the_tables(samples, tmp_path):
    rows = score_rows(samples, PAIRS)
    run = scored_run(tmp_path, samples, PAIRS, rows)
    data = data_of(run)
    psnr = keys(data).index("psnr")
    expected = run.score_table.means.loc[0, ["psnr", "psnr_low", "psnr_high"]].tolist()
    assert data["means"][0][psnr] == pytest.approx(expected, rel=5e-4)
    by_type = aggregate(rows, by_type=True)
    found = [number for combination in data["byType"] for number in (row[psnr] for row in combination)]
    assert found == pytest.approx(by_type["psnr"].tolist(), rel=5e-4)
    assert [each["label"] for each in data["types"]] == list(dict.fromkeys(by_type["type"]))


def test_pictures_that_are_gone_are_named(samples, tmp_path):
    run = scored_run(tmp_path, samples, PAIRS)
    del run.pictures["direct+p2p", samples[3].id]
    assert data_of(run)["gone"] == [[1, 3]]


@given(st.text(st.sampled_from("[] ab<"), max_size=20))
def test_a_prompt_is_split_without_losing_a_letter(prompt):
    parts = prompt_parts(prompt)
    assert "".join(parts) == strip_brackets(prompt)
    assert tuple(parts[1::2]) == marked_phrases(prompt)


@given(ANY_TEXT)
def test_any_text_stays_text_inside_a_script(text):
    script = to_data_script("DATA", {text: [HOSTILE + text]})
    assert script.isascii() and not set("<>&") & set(script)
    back = json.loads(script.removeprefix("const DATA = ").removesuffix(";\n"))
    assert back == {text: [HOSTILE + text]}


def test_full_pictures_are_linked_where_the_run_keeps_them(samples, tmp_path):
    run = scored_run(tmp_path / "run 1", samples, [*PAIRS, ("", "oracle")])
    edits, _, ideal = links_of(run, tmp_path / "run 1" / "report")
    assert edits.to(samples[1], 1) == ("../images/ddim+p2p/1_change_object_80/2_natural/000000000001.png")
    assert ideal.to(samples[1], 1) == "copies/2/1.webp"
    elsewhere, *_ = links_of(run, tmp_path / "look")
    assert elsewhere.folder == "../run%201/images/ddim+p2p"


def test_differences_are_those_of_table_versus(samples, tmp_path):
    rows = score_rows(samples * 2, PAIRS)
    rows["id"] = [f"{place % 24}" for place in range(len(rows))]
    rows.loc[rows["inversion"] == "direct", PSNR] += 30
    samples = [replace(samples[number % 12], id=str(number)) for number in range(24)]
    data = data_of(scored_run(tmp_path, samples, PAIRS, rows))
    psnr = keys(data).index("psnr")
    table = compare_all_with(rows, "ddim+p2p", TABLE_METRICS).set_index("metric").loc["psnr"]
    assert data["versus"][1][0][psnr] == [
        *(pytest.approx(table[column], rel=1e-3) for column in ("difference", "low", "high")),
        1,
    ]
    difference, low, high, better = data["versus"][0][1][psnr]
    assert [-difference, -high, -low, -better] == data["versus"][1][0][psnr]
    assert data["versus"][0][0] is data["versus"][1][1] is None


def test_combinations_without_a_picture_in_common_have_no_difference(samples, tmp_path):
    rows = score_rows(samples, PAIRS)
    first = rows["id"].isin([sample.id for sample in samples[:6]])
    rows = rows[first == (rows["inversion"] == "ddim")]
    assert data_of(scored_run(tmp_path, samples, PAIRS, rows))["versus"] == [[None, None], [None, None]]


def test_clip_scores_are_of_the_edit_and_all_others_of_what_is_kept(samples, tmp_path):
    data = data_of(scored_run(tmp_path, samples, PAIRS))
    assert [each["key"] for each in data["metrics"] if each["isOfEdit"]] == ["clip_whole", "clip_edit"]
