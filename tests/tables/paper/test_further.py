"""Published numbers beyond Table 1, and which of them fit a run."""

import json

import numpy as np
import pytest

import piebench_eval as pb
from piebench_eval.cli.table import TableFormat, print_table
from piebench_eval.metrics.columns import PSNR
from piebench_eval.tables.aggregate import aggregate
from piebench_eval.tables.layout import METRIC_NAMES
from piebench_eval.tables.paper.compare import FURTHER_COLUMNS, compare_with_paper, comparison_obstacles
from piebench_eval.tables.paper.further import fitting_rows, further_remarks, load_further
from tests.support.recipes import shipped
from tests.tables.test_combined import write
from tests.tables.test_tables import PAPER_LIKE, scores

SD3 = {"model": "stabilityai/stable-diffusion-3-medium-diffusers", "steps": 50}
SD35 = {"model": "stabilityai/stable-diffusion-3.5-medium", "steps": 50}


def infedit_scores(images=700, psnr=28.0):
    return scores(images, inversions=("ddcm",), method="infedit").assign(**{PSNR: np.full(images, psnr)})


def infedit_about(**changes):
    given = {**shipped("infedit").combination("ddcm", "infedit").flat(), **changes}
    return {**PAPER_LIKE, "combinations": {"ddcm+infedit": given}}


def test_every_row_says_what_it_is():
    rows = load_further()
    assert len(rows) > 40
    for row in rows:
        assert row.numbers and set(row.numbers) <= set(METRIC_NAMES)
        assert row.source and row.by in ("authors", "copied", "rerun")
        assert row.read_from in ("paper", "readme", "notes")
        # Table 1's units: a raw structure distance, SSIM or LPIPS would be below 1.
        assert all(value > 1 for value in row.numbers.values())
        assert row.images in (None, 700) or row.uncounted


def test_an_authors_row_comes_before_those_of_others():
    groups = {}
    for row in load_further():
        groups.setdefault((row.inversion, row.method, row.model), []).append(row.is_authors)
    assert all(found == sorted(found, reverse=True) for found in groups.values())


def test_no_mean_squared_error_is_below_what_its_psnr_allows():
    for row in load_further():
        if {"mse", "psnr"} <= set(row.numbers):
            assert row.numbers["mse"] > 1e4 * 10 ** (-row.numbers["psnr"] / 10), row


def test_several_groups_re_ran_flowedit_and_its_authors_have_no_numbers():
    found = fitting_rows("flowedit", "plain", SD3)
    assert {row.printed_in for row in found.rows} == {
        "DNAEdit",
        "DecFlowEdit",
        "SplitFlow",
        "ChordEdit",
        "NaviEdit",
    }
    assert (min(found.others("psnr")), max(found.others("psnr"))) == (22.13, 22.46)
    assert np.isnan(found.own("psnr"))
    assert len(found.others("ssim")) == 3, "one misprints it, one does not print it"


def test_medium_of_3_5_is_not_medium_of_3():
    found = fitting_rows("flowedit", "plain", SD35)
    assert {row.printed_in for row in found.counted} == {"FIA-Edit", "DecFlowEdit", "DirectEdit"}
    assert max(found.others("psnr")) - min(found.others("psnr")) < 0.1
    (uncounted,) = [row for row in found.rows if row.uncounted]
    assert "620 images" in str(uncounted) and 23.24 not in found.others("psnr")


def test_the_authors_own_come_first_and_a_local_copy_of_the_model_counts():
    found = fitting_rows("dnaedit", "dnaedit", {"model": "/models/stable-diffusion-3.5-medium", "steps": 40})
    assert found.rows[0].by == "authors" and found.own("psnr") == 26.66
    assert sorted(found.others("psnr")) == [26.45, 27.71]


@pytest.mark.parametrize(
    ("inversion", "method", "given", "words"),
    [
        (
            "flowedit",
            "masactrl",
            SD3,
            ["no published row is known for flowedit+masactrl on stable-diffusion-3-medium"],
        ),
        (
            "flow_align",
            "plain",
            SD35,
            ["flow_align+plain on stable-diffusion-3.5-medium; there are rows", "stable-diffusion-3-medium"],
        ),
        ("ddcm", "infedit", {}, ["ddcm+infedit on an unknown model", "LCM_Dreamshaper_v7"]),
        (
            "turboedit",
            "plain",
            {"model": "stabilityai/sdxl-turbo", "steps": 3},
            ["turboedit+plain", "has its settings"],
        ),
    ],
)
def test_where_none_fits_it_says_why(inversion, method, given, words):
    found = fitting_rows(inversion, method, given)
    assert not found.rows and all(word in found.obstacle for word in words)


def test_what_the_table_says_of_settings_has_to_fit():
    found = fitting_rows("flow_align", "plain", {**SD3, "steps": 33})
    assert [row.printed_in for row in found.rows] == ["DecFlowEdit"]
    assert found.left_out == ["NaviEdit is left out: steps is 33, the published is 50"]
    alpha = {**SD3, "steps": 15, "inversion.alpha": 0.8}
    assert not any(row.is_authors for row in fitting_rows("uni_inv", "uni_edit", alpha).rows)
    assert fitting_rows("uni_inv", "uni_edit", {**alpha, "inversion.alpha": 0.6}).own("psnr") == 24.96


def test_a_mean_stands_beside_the_authors_and_the_range_of_the_others():
    comparison = compare_with_paper(aggregate(infedit_scores()), infedit_about())
    row = comparison.table.set_index("metric").loc["psnr"]
    assert (row["paper"], row["difference"]) == (28.51, pytest.approx(-0.51))
    assert (row["reruns"], row["reruns_low"], row["reruns_high"]) == (1, 27.31, 27.31)
    assert row["from_reruns"] == pytest.approx(0.69)
    assert row["verdict"] == "" and np.isnan(row["tolerance"])
    (obstacle,) = comparison.obstacles
    assert obstacle == "ddcm+infedit: no verdict, since Table 1 has no such combination"
    own, rerun, garbled = comparison.remarks
    assert own.startswith("ddcm+infedit: the authors' own in InfEdit (arXiv 2312.04965")
    assert "PSNR 27.31" in rerun and "not counted: shares values" in garbled


def test_what_is_not_as_published_is_said():
    rules = {"guidance": 1.0, "method.blend_threshold": 0.6}
    (line,) = [
        line
        for line in compare_with_paper(aggregate(infedit_scores(30)), infedit_about(**rules)).remarks
        if "not as published" in line
    ]
    assert "30 images were scored" in line and "guidance is 1.0, the published is 2.3" in line
    assert "method.blend_threshold is 0.6, the published is 0.55" in line
    assert "seed" not in line and "precision" not in line


def remarks_of(recipe, **changes):
    """What is told of a run by a recipe of the package with other settings."""
    (pair,) = shipped(recipe).pairs
    given = {**shipped(recipe).combination(*pair).flat(), **changes}
    return further_remarks(fitting_rows(*pair, given), given)


@pytest.mark.parametrize(
    ("recipe", "empty"),
    [
        ("flowedit-sd3", {"t5_length": None, "inversion.n_max": None}),
        ("dnaedit-sd3", {"t5_length": None, "inversion.skip": None}),
        ("rf-solver-edit-flux", {"t5_length": None, "source_guidance": 2}),
    ],
)
def test_an_empty_setting_that_means_the_published_value_is_as_published(recipe, empty):
    assert not any("not as published" in line for line in remarks_of(recipe, **empty))


def test_an_empty_setting_that_means_another_value_is_told_by_it():
    (line,) = (line for line in remarks_of("flowalign-sd3", t5_length=None) if "not as published" in line)
    assert line.endswith("not as published: t5_length is 256, the published is 77")
    flowedit = remarks_of("flowedit-flux", **{"inversion.n_max": None})
    assert "inversion.n_max is 18, the published is 24" in flowedit[-1]


def test_other_networks_and_the_demos_scores_are_held_against_nobody():
    networks = {**PAPER_LIKE["networks"], "clip": "openai/clip-vit-base-patch16"}
    means = aggregate(infedit_scores())
    table = compare_with_paper(means, {**infedit_about(), "networks": networks}).table.set_index("metric")
    assert table.loc["clip_whole", ["difference", "from_reruns"]].isna().all()
    assert table.loc["clip_whole", "reruns"] == 1 and table.loc["psnr", "from_reruns"] > 0
    demo = compare_with_paper(means, {**infedit_about(), "model": "demo"})
    assert not demo.further and demo.table["paper"].isna().all()


@pytest.mark.parametrize("weights", ["int8", "nf4"])
def test_quantised_weights_are_held_against_nobody(weights):
    comparison = compare_with_paper(aggregate(infedit_scores()), infedit_about(weights=weights))
    assert not comparison.further and comparison.table[["paper", "difference"]].isna().all(axis=None)
    assert set(comparison.table["verdict"]) == {""}
    (obstacle,) = comparison.obstacles
    assert obstacle.endswith(f"no published row is of quantised weights, and ddcm+infedit has {weights}")
    named = {**PAPER_LIKE["combinations"]["direct+p2p"], "weights": weights}
    of_table_1 = {**PAPER_LIKE, "combinations": {"direct+p2p": named}}
    reasons = comparison_obstacles("direct", "p2p", 700, of_table_1)
    assert reasons == [f"weights is {weights}, the paper's is full"]


def test_table_1_has_its_own_columns_alone():
    comparison = compare_with_paper(aggregate(scores(700)), PAPER_LIKE)
    assert not set(FURTHER_COLUMNS) & set(comparison.table.columns) and not comparison.further


@pytest.mark.parametrize("output", list(TableFormat))
def test_every_format_shows_the_range(tmp_path, capfd, output):
    write(tmp_path / "run" / "scores.csv", infedit_scores(), **infedit_about())
    print_table(tmp_path / "run", compare_paper=True, output=output)
    printed = capfd.readouterr()
    assert "27.31" in printed.out and "28.51" in printed.out
    assert "run again in DNAEdit" in printed.out + printed.err
    if output is TableFormat.json:
        (row,) = [row for row in json.loads(printed.out)["rows"] if row["metric"] == "psnr"]
        assert row["reruns"] == 1 and row["from_reruns"] == pytest.approx(0.69)


def test_several_runs_have_the_published_rows_between_them(tmp_path):
    for name, psnr in (("a", 28.0), ("b", 27.0)):
        write(tmp_path / name / "scores.csv", infedit_scores(psnr=psnr), **infedit_about())
    table = pb.table([tmp_path / "a", tmp_path / "b"], compare_paper=True)
    table = table[table["inversion"] == "ddcm"]
    assert table["run"].tolist() == ["(paper)", "(run again in DNAEdit)", "a", "b"]
    assert table["psnr"].tolist() == [28.51, 27.31, 28.0, 27.0]
    assert table["images"].isna().tolist() == [True, False, False, False]


def test_rows_of_several_models_are_told_apart(tmp_path):
    write(tmp_path / "a" / "scores.csv", infedit_scores(), **infedit_about())
    other = infedit_about(model="CompVis/stable-diffusion-v1-4", steps=4)
    write(tmp_path / "b" / "scores.csv", infedit_scores(), **other)
    runs = pb.table([tmp_path / "a", tmp_path / "b"], compare_paper=True).query("inversion == 'ddcm'")["run"]
    assert "(paper, LCM_Dreamshaper_v7)" in set(runs)
    assert "(run again in ChordEdit, stable-diffusion-v1-4)" in set(runs)
