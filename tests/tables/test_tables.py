import json

import numpy as np
import pandas as pd
import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS, MSE, PSNR
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import MODERN, AverageRules
from piebench_eval.tables.aggregate import aggregate, omission_remarks
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.compare import compare_with_paper, comparison_obstacles
from piebench_eval.tables.paper.published import load_published
from piebench_eval.tables.scores import read_scores
from tests.support.recipes import shipped


def about(**changes):
    """What the scores of a run by the paper's recipe say of themselves, with changed settings."""
    recipe = shipped("paper")
    combinations = {"+".join(pair): {**recipe.combination(*pair).flat(), **changes} for pair in recipe.pairs}
    return {
        "image_format": recipe.image_format,
        "networks": MetricModels().to_dict(),
        "combinations": combinations,
    }


PAPER_LIKE = about()


def scores(images=700, inversions=("ddim", "direct"), **values):
    generator = np.random.default_rng(0)
    frames = []
    for inversion in inversions:
        frame = pd.DataFrame({column: generator.normal(0.5, 0.1, images) for column in COLUMNS})
        frame[MSE] = 10 ** (-frame[PSNR] / 10)
        frame.insert(0, "id", [str(i) for i in range(images)])
        frame.insert(1, "inversion", inversion)
        frame.insert(2, "method", "p2p")
        frames.append(frame)
    table = pd.concat(frames, ignore_index=True)
    for column, value in values.items():
        table[column] = value
    return table


def test_means_in_the_tables_units():
    means = aggregate(scores(4, mse_unedit_part=0.0025, ssim_unedit_part=0.8, psnr_unedit_part=20.0))
    assert means["inversion"].tolist() == ["ddim", "direct"]
    assert means["mse"].tolist() == pytest.approx([25, 25])
    assert means["ssim"].tolist() == pytest.approx([80, 80])
    assert means["psnr"].tolist() == pytest.approx([20, 20])
    assert means["images"].tolist() == [4, 4]


def test_nan_and_inf_are_left_out_and_counted():
    table = scores(4, inversions=("direct",))
    table["psnr_unedit_part"] = [20.0, 22.0, np.nan, np.inf]
    means = aggregate(table)
    row = means.iloc[0]
    assert row["psnr"] == pytest.approx(21)
    assert row["psnr_sem"] == pytest.approx(1)
    assert (row["psnr_nan"], row["psnr_inf"]) == (1, 1)
    assert omission_remarks(means) == ["direct+p2p: means leave out psnr 1 nan, psnr 1 inf of 4 values"]


def test_rows_come_in_the_papers_order():
    inversions = ("zzz", "direct", "negative_prompt", "edit_friendly", "aaa", "null_text", "ddim")
    means = aggregate(scores(2, inversions=inversions))
    papers = ["ddim", "null_text", "negative_prompt", "edit_friendly", "direct"]
    assert means["inversion"].tolist() == [*papers, "aaa", "zzz"]


def test_editing_methods_stand_together_and_reference_rows_last():
    frames = [scores(2).assign(method=method) for method in ("proximal", "pnp", "masactrl", "p2p")]
    copies = scores(2, inversions=("",)).assign(method="a copy")
    means = aggregate(pd.concat([copies, *frames]))
    assert list(dict.fromkeys(means["method"])) == ["p2p", "masactrl", "pnp", "proximal", "a copy"]
    assert means["inversion"].tolist() == ["ddim", "direct"] * 4 + [""]


def test_scores_of_a_named_method():
    table = scores(3, inversions=("x",)).drop(columns=["inversion", "method"])
    table.insert(1, "name", "mine")
    means = aggregate(table)
    assert means["name"].tolist() == ["mine"]
    comparison = compare_with_paper(means, PAPER_LIKE)
    assert "no such combination" in comparison.obstacles[0]
    assert comparison.table["paper"].isna().all()


def test_published_numbers_and_their_errata():
    published = load_published().set_index(["inversion", "method", "metric"])
    assert len(published) == 84
    assert published.loc[("direct", "p2p", "psnr"), "paper"] == 27.22
    assert published.loc[("direct", "p2p", "psnr"), "report"] == 27.2
    assert published.loc[("direct", "pnp", "psnr"), "paper"] == 22.46
    assert published.loc[("direct", "pnp", "lpips"), "paper"] == 106.06
    assert "22.28" in published.loc[("direct", "pnp", "psnr"), "erratum"]
    assert np.isnan(published.loc[("null_text", "pnp", "psnr"), "paper"])
    assert (published["erratum"] != "").sum() == 2


def test_a_verdict_where_the_comparison_means_something():
    table = scores(700, inversions=("direct",))
    generator = np.random.default_rng(1)
    table["psnr_unedit_part"] = 27.22 + generator.permutation(np.linspace(-5, 5, 700))
    comparison = compare_with_paper(aggregate(table), PAPER_LIKE)
    rows = comparison.table.set_index("metric")
    assert comparison.obstacles == []
    assert rows.loc["psnr", "verdict"] == "agrees"
    assert rows.loc["psnr", "difference"] == pytest.approx(0, abs=1e-9)
    assert rows.loc["mse", "verdict"] == "differs"
    assert rows.loc["psnr", "report"] == 27.2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (about(model="/models/tiny"), "/models/tiny"),
        (about(steps=10), "steps is 10"),
        (about(guidance=5.0), "guidance is 5.0"),
        ({"networks": {**MetricModels().to_dict(), "clip": "openai/clip-vit-base-patch16"}}, "clip"),
        ({"networks": {}}, "dino"),
        ({"image_format": "png"}, "image_format is png"),
        ({"image_format": "jpeg:95"}, "jpeg:95"),
        (about(precision="fp16"), "fp16"),
        (about(resolution=256), "256"),
        (about(**{"method.controller": "auto"}), "method.controller is auto, the paper's is refine"),
        (
            {"protocol": {"name": "modern", "rules": MODERN.model_dump(mode="json")}},
            "the protocol is modern, not the paper's (structure.resize: bilinear -> bilinear_antialiased",
        ),
        ({"precision": "bf16"}, "scored in bf16"),
        ({"resized": ["7: 640x480 -> 512x512"]}, "1 of the pictures were resized before scoring"),
        (
            {"subset": {"name": "quick-70", "samples": 700, "of": 7000}},
            "a subset was scored (quick-70, 700 of the benchmark's 7000 samples)",
        ),
    ],
)
def test_no_verdict_without_the_papers_conditions(change, reason):
    comparison = compare_with_paper(aggregate(scores(700)), {**PAPER_LIKE, **change})
    (obstacle,) = comparison.obstacles
    assert reason in obstacle and obstacle.startswith("ddim+p2p, direct+p2p: no verdict")
    assert set(comparison.table["verdict"]) == {""}


def test_no_verdict_on_fewer_images_or_unknown_provenance():
    assert "699 images" in compare_with_paper(aggregate(scores(699)), PAPER_LIKE).obstacles[0]
    assert comparison_obstacles("direct", "p2p", 700, {})


def test_a_whole_run_beside_a_subset_keeps_its_verdict():
    subset = {"name": "quick-70", "samples": 70, "of": 700}
    assert compare_with_paper(aggregate(scores(700)), {**PAPER_LIKE, "subset": subset}).obstacles == []
    few = compare_with_paper(aggregate(scores(70)), {**PAPER_LIKE, "subset": subset}).obstacles
    assert "a subset was scored (quick-70" in few[0] and "70 images were scored" not in few[0]


def test_no_verdict_on_some_editing_types():
    rules = AverageRules(types=("0", "1"))
    comparison = compare_with_paper(aggregate(scores(700).assign(type="1"), rules), PAPER_LIKE, rules)
    assert "only editing types 0, 1 count" in comparison.obstacles[0]


def test_a_network_that_no_score_needed_stands_in_nobodys_way():
    table = scores(700, dino_similarity=0.5)
    table = table[["id", "inversion", "method", "psnr_unedit_part", "dino_similarity"]]
    comparison = compare_with_paper(aggregate(table), {**PAPER_LIKE, "networks": {}})
    assert comparison.obstacles == []
    assert comparison.table["metric"].tolist() == ["psnr", "psnr"]
    assert set(comparison.table["verdict"]) == {"differs"}


def test_a_network_beyond_the_papers_three_changes_nothing():
    networks = {**MetricModels().to_dict(), "lpips_alex": "alexnet"}
    assert comparison_obstacles("direct", "p2p", 700, {**PAPER_LIKE, "networks": networks}) == []


def test_a_local_copy_of_the_papers_model_counts():
    assert (
        comparison_obstacles("direct", "p2p", 700, about(model="/m/stable-diffusion-v1-4", resolution=None))
        == []
    )
    assert comparison_obstacles("direct", "pnp", 700, PAPER_LIKE) == []
    assert "v1-5" in comparison_obstacles("direct", "pnp", 700, about(model="stable-diffusion-v1-4"))[0]
    assert comparison_obstacles("null_text", "pnp", 700, PAPER_LIKE) == ["the paper has no such combination"]


@pytest.mark.parametrize(
    ("psnr", "method", "inside"),
    [
        (np.linspace(15, 40, 50), "p2p", True),
        (np.linspace(15, 16, 50), "p2p", False),
        (np.full(50, np.inf), "p2p", None),
        (np.array([27.0]), "p2p", None),
        (np.linspace(15, 40, 50), "proximal", None),
    ],
)
def test_the_published_number_is_held_against_the_runs_own_interval(psnr, method, inside):
    rows = scores(len(psnr), inversions=("direct",), psnr_unedit_part=psnr, method=method)
    table = compare_with_paper(aggregate(rows), {}).table.set_index("metric")
    found = table.loc["psnr", "inside_interval"]
    assert found is pd.NA if inside is None else found == inside
    assert set(table["verdict"]) == {""}, "it needs none of the paper's conditions, and is no verdict"


def test_scores_without_any_of_table_1s_metrics_are_refused():
    table = scores(3, dino_similarity=0.5)[["id", "inversion", "method", "dino_similarity"]]
    with pytest.raises(PiebenchError, match=r"--compare-paper: .* no metric of Table 1"):
        compare_with_paper(aggregate(table), {})


def test_errata_are_said_where_they_matter():
    table = scores(700, inversions=("direct",)).assign(method="pnp")
    remarks = compare_with_paper(aggregate(table), PAPER_LIKE).remarks
    assert sum("corrected" in remark for remark in remarks) == 2


def test_text_formats():
    means = aggregate(scores(4))
    shown = means[["method", "inversion", "images", *(metric.key for metric in TABLE_METRICS)]]
    parsed = pd.read_csv(__import__("io").StringIO(to_text(shown, "csv")))
    pd.testing.assert_frame_equal(parsed, shown.reset_index(drop=True))
    rows = json.loads(to_text(shown, "json", ["a remark"]))
    assert rows["rows"][1]["inversion"] == "direct" and rows["remarks"] == ["a remark"]
    markdown = to_text(shown, "markdown", ["a remark"])
    assert markdown.startswith("| method") and "a remark" in markdown
    latex = to_text(shown, "latex", ["a remark"])
    assert "\\toprule" in latex and "% a remark" in latex and "Struct." in latex


@pytest.mark.parametrize("name", ["null", "NA", "nan", "None", "7"])
def test_a_method_may_have_any_name(tmp_path, name):
    table = scores(3, inversions=("x",)).drop(columns=["inversion", "method"])
    table.insert(1, "name", name)
    table.loc[0, "psnr_unedit_part"] = np.nan
    table.to_csv(tmp_path / "scores.csv", index=False, na_rep="nan")
    means = aggregate(read_scores(tmp_path / "scores.csv"))
    assert means["name"].tolist() == [name]
    assert means["psnr_nan"].tolist() == [1]


HEADER = ",".join(["id", "name", "type", *COLUMNS])


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "a,b\n1,2\n",
        "id,inversion,method\n1,a,b\n",
        HEADER,
        f"{HEADER}\n1,mine,0,much,1,1,1,1,1,1,1\n",
    ],
)
def test_files_that_are_no_scores(tmp_path, content):
    file = tmp_path / "scores.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PiebenchError, match=r"scores\.csv"):
        read_scores(file)


def test_a_score_that_is_no_number_is_named(tmp_path):
    file = tmp_path / "scores.csv"
    table = scores(3).astype({COLUMNS[4]: str})
    for text in ("much", ""):
        table.loc[1, COLUMNS[4]] = text
        table.to_csv(file, index=False)
        with pytest.raises(
            PiebenchError, match=rf"scores.csv: column {COLUMNS[4]}, row 3 \(id 1\): '{text}'"
        ):
            read_scores(file)


def test_any_metric_makes_a_scores_file(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text("id,name,notes,dino_similarity\n007,mine,good,0.5\n008,mine,bad,inf\n")
    read = read_scores(file)
    assert read["id"].tolist() == ["007", "008"] and read["notes"].tolist() == ["good", "bad"]
    means = aggregate(read)
    assert means["dino_similarity"].tolist() == [50]
    assert [column for column in means.columns if column.startswith("psnr")] == []


@pytest.mark.parametrize(
    ("about", "compared"),
    [
        (PAPER_LIKE, {"psnr", "clip_whole"}),
        ({}, {"psnr", "clip_whole"}),
        (
            {**PAPER_LIKE, "networks": {**MetricModels().to_dict(), "clip": "openai/clip-vit-base-patch16"}},
            {"psnr"},
        ),
        ({**PAPER_LIKE, "model": "demo"}, set()),
        ({**PAPER_LIKE, "networks": dict.fromkeys(MetricModels().to_dict(), "demo")}, set()),
    ],
)
def test_only_like_is_compared_with_like(about, compared):
    table = compare_with_paper(aggregate(scores(700)), about).table.set_index("metric")
    for metric in ("psnr", "clip_whole"):
        filled = table.loc[metric, ["difference", "tolerance", "inside_interval"]].notna()
        assert (filled == (metric in compared)).all(axis=None)
        assert table.loc[metric, ["measured", "paper"]].notna().all(axis=None)


def test_an_infinite_mean_is_a_text_in_json():
    psnr = [np.inf, np.inf, 20.0, np.nan]
    means = aggregate(scores(2, psnr_unedit_part=psnr, clip_similarity_source_image=np.nan))
    text = to_text(means.assign(inside=pd.array([True, None], dtype="boolean")), "json")
    rows = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["rows"]
    assert [row["psnr"] for row in rows] == ["inf", 20.0]
    assert rows[0]["psnr_low"] is None and [row["inside"] for row in rows] == [True, None]
    assert rows[1]["mse"] == means["mse"].iloc[1], "all digits"
