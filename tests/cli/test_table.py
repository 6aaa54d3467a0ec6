"""``piebench table`` as a user meets it."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from piebench_eval.cli import grid, table
from piebench_eval.cli.table import TableFormat, print_table
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS, CLIP_SOURCE
from piebench_eval.metrics.protocol import MODERN, PAPER
from tests.support.commands import in_a_new_process
from tests.tables.test_tables import PAPER_LIKE, scores

FORMATS = [TableFormat.csv, TableFormat.markdown, TableFormat.latex, TableFormat.json, TableFormat.table]


@pytest.fixture
def file(tmp_path):
    """Twelve pictures of types 1 and 8, edited by two combinations."""
    rows = scores(12)
    rows.insert(3, "type", ["1", "8"] * 12)
    rows.to_csv(tmp_path / "mine.csv", index=False, na_rep="nan")
    return tmp_path / "mine.csv"


@pytest.fixture
def show(capsys):
    """Prints a table as JSON and reads it back: rows and remarks."""

    def shown(file, **options):
        print_table(file, output=TableFormat.json, **options)
        parsed = json.loads(capsys.readouterr().out)
        return pd.DataFrame(parsed["rows"]), parsed["remarks"]

    return shown


def say(file, **about):
    file.with_suffix(".json").write_text(json.dumps(about))


def test_intervals_are_a_row_per_combination_and_metric(file, show):
    rows, _ = show(file, intervals=True)
    columns = ["method", "inversion", "metric", "mean", "sem", "low", "high", "n", "nan", "inf"]
    assert rows.columns.tolist() == columns
    assert len(rows) == 2 * 8
    assert (rows["low"] <= rows["mean"]).all() and (rows["mean"] <= rows["high"]).all()
    assert set(rows["n"]) == {12}


def test_by_type_is_a_row_per_combination_and_type(file, show):
    rows, _ = show(file, by_type=True)
    assert rows["type"].tolist() == ["1 change object", "8 change background"] * 2
    assert rows["images"].tolist() == [6] * 4
    whole, _ = show(file)
    assert rows["psnr"].iloc[:2].mean() == pytest.approx(whole["psnr"].iloc[0])


def test_versus_holds_every_other_combination_against_one(file, show):
    rows, _ = show(file, versus="ddim+p2p")
    assert set(rows["combination"]) == {"direct+p2p"}
    assert {"pairs", "skipped", "difference", "low", "high", "better"} < set(rows.columns)
    means, _ = show(file)
    difference = rows.set_index("metric").loc["psnr", "difference"]
    assert difference == pytest.approx(means["psnr"].iloc[1] - means["psnr"].iloc[0])


@pytest.mark.parametrize("view", [{}, {"by_type": True}, {"versus": "ddim+p2p"}, {"intervals": True}])
def test_types_restrict_every_table(file, show, view):
    rows, remarks = show(file, types=["8"], **view)
    for column in {"images", "pairs", "n"} & set(rows.columns):
        assert set(rows[column]) == {6}
    assert "only these editing types count: 8 change background" in remarks


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize(
    "view", [{"by_type": True}, {"versus": "ddim+p2p"}, {"intervals": True}, {"compare_paper": True}]
)
def test_every_table_comes_in_every_format_with_its_remarks(file, capfd, view, output):
    say(file, protocol="paper", precision="bf16")
    print_table(file, output=output, **view)
    printed = capfd.readouterr()
    assert "direct" in printed.out and "psnr" in printed.out.lower()
    assert "not for publication" in (printed.err if output is TableFormat.csv else printed.out)


@pytest.mark.parametrize(
    ("output", "is_shown"), [(TableFormat.csv, True), (TableFormat.json, True), (TableFormat.markdown, False)]
)
def test_the_source_images_score_is_for_programs(file, capsys, output, is_shown):
    print_table(file, output=output)
    assert (CLIP_SOURCE in capsys.readouterr().out) is is_shown


def test_further_metrics_stand_behind_those_of_table_1(file, capfd):
    pd.read_csv(file).assign(dino_similarity=0.25).to_csv(file, index=False)
    print_table(file, output=TableFormat.markdown)
    header = capfd.readouterr().out.splitlines()[0]
    assert header.replace(" ", "").endswith("|clip_edit|dino_similarity|")
    print_table(file)
    assert "DINO" in capfd.readouterr().out


def test_a_file_of_one_metric_is_a_table(file, show):
    rows = pd.read_csv(file)[["id", "inversion", "method", "type", "ssim_unedit_part"]]
    rows.to_csv(file, index=False)
    assert show(file)[0].columns.tolist() == ["method", "inversion", "images", "ssim"]
    assert set(show(file, compare_paper=True)[0]["metric"]) == {"ssim"}


def test_means_follow_the_rules_that_the_scores_came_with(file, show):
    rows = pd.read_csv(file)
    rows["psnr_unedit_part"] = [np.inf, *[20.0] * 11] * 2
    rows.to_csv(file, index=False)
    assert show(file)[0]["psnr"].tolist() == [20, 20]
    kind = PAPER.with_changes({"average": {"inf": "100", "types": ("1",)}})
    say(file, protocol={"name": "kind.yaml", "rules": kind.model_dump(mode="json")})
    found, remarks = show(file)
    assert found["psnr"].tolist() == pytest.approx([(100 + 5 * 20) / 6] * 2)
    assert any("kind.yaml" in remark and "average.inf: skipped -> 100" in remark for remark in remarks)
    assert "only these editing types count: 1 change object" in remarks


def test_types_asked_for_go_before_the_protocols(file, show):
    rules = PAPER.with_changes({"average": {"types": ("1",)}}).model_dump(mode="json")
    say(file, protocol={"name": "some.yaml", "rules": rules})
    _, remarks = show(file, types=["8"])
    assert "only these editing types count: 8 change background" in remarks
    assert not any("1 change object" in remark for remark in remarks)


def test_full_masks_are_said_of_the_pictures_in_the_table(file, show):
    rows = pd.read_csv(file, dtype={"type": str})
    rows.loc[rows["id"].isin([1, 3]), list(BACKGROUND_COLUMNS)] = np.nan
    rows.to_csv(file, index=False, na_rep="nan")
    assert any(remark.startswith("2 of 12 masks") for remark in show(file, versus="ddim+p2p")[1])
    assert any(remark.startswith("2 of 6 masks") for remark in show(file, types=["8"])[1])
    assert not any("masks" in remark for remark in show(file, types=["1"])[1])


def test_table_csv_is_of_the_whole_run(file, tmp_path):
    file.rename(tmp_path / "scores.csv")
    written = tmp_path / "table.csv"
    for other in ({"types": ["1"]}, {"by_type": True}, {"versus": "ddim+p2p"}):
        print_table(tmp_path, **other)
        assert not written.exists()
    print_table(tmp_path)
    columns = pd.read_csv(written).columns
    assert {f"psnr{end}" for end in ("", "_sem", "_low", "_high", "_n", "_nan", "_inf")} < set(columns)
    assert CLIP_SOURCE in columns


def test_a_comparison_under_another_protocol_has_no_verdict(file, show):
    say(file, protocol={"name": "modern", "rules": MODERN.model_dump(mode="json")})
    rows, remarks = show(file, compare_paper=True)
    assert set(rows["verdict"]) == {""}
    assert any("no verdict" in remark and "the protocol is modern" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"versus": "ddim+p2p", "by_type": True}, "--versus and --by-type"),
        ({"intervals": True, "compare_paper": True}, "--compare-paper and --intervals"),
        ({"types": ["1", "7"]}, "no editing type 7; there are: 1, 8"),
        (
            {"versus": "direct"},
            "direct: the scores hold no such combination; there are: ddim+p2p, direct+p2p",
        ),
    ],
)
def test_wrong_usage(file, options, words):
    with pytest.raises(PiebenchError) as raised:
        print_table(file, **options)
    assert words in str(raised.value)


def test_a_protocol_beside_the_scores_that_there_is_not(file):
    say(file, protocol={"name": "odd", "rules": {"ssim": {"edge": 1}}})
    with pytest.raises(PiebenchError, match=r"mine\.json: protocol: ssim\.edge"):
        print_table(file)


def test_the_command_takes_these_options_without_heavy_imports(file):
    done, wrong = in_a_new_process(
        ["table", file, "--versus", "ddim+p2p", "--types", "1, 8", "--format", "csv"],
        ["table", file, "--by-type", "--intervals"],
    )
    assert done.heavy == () and done.returncode == 0
    rows = pd.read_csv(io.StringIO(done.stdout))
    assert set(rows["pairs"]) == {12}
    assert wrong.returncode == 2 and "--intervals and --by-type" in wrong.stderr
    assert wrong.heavy == ()


def test_the_best_of_an_editing_method_stands_out_for_readers_alone(file, capfd):
    printed = {}
    for output in FORMATS:
        print_table(file, output=output)
        printed[output] = capfd.readouterr().out
    signs = {TableFormat.markdown: ("| **", "| <u>"), TableFormat.latex: ("\\textbf{", "\\underline{")}
    for output, text in printed.items():
        for sign in ("**", "<u>", "textbf", "underline"):
            assert (sign in text) == any(sign in mine for mine in signs.get(output, ()))
    assert (
        printed[TableFormat.markdown].count("**") == 2 * printed[TableFormat.markdown].count("<u>") == 2 * 7
    )


def test_a_comparison_says_what_lies_inside_the_interval(file, capfd):
    print_table(file, compare_paper=True, output=TableFormat.json)
    exact = [row["inside_interval"] for row in json.loads(capfd.readouterr().out)["rows"]]
    assert {type(value) for value in exact} == {bool}
    print_table(file, compare_paper=True, output=TableFormat.csv)
    assert pd.read_csv(io.StringIO(capfd.readouterr().out))["inside_interval"].tolist() == exact
    for output in (TableFormat.markdown, TableFormat.latex):
        print_table(file, compare_paper=True, output=output)
        words = capfd.readouterr().out
        assert "inside interval" in words and ("| no " in words or "& no &" in words)


def test_a_terminal_has_styles_and_colours(file, monkeypatch, tmp_path):
    from rich.console import Console

    papers = tmp_path / "papers.csv"
    scores(700).to_csv(papers, index=False)
    say(papers, **PAPER_LIKE)

    def printed(file, **options):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, color_system="standard", width=120)
        for module in (grid, table):
            monkeypatch.setattr(module, "out", console)
        print_table(file, **options)
        return stream.getvalue().split("─")[-1]

    def colours(text):
        return text.count("\x1b[31m") + text.count("\x1b[32m")

    means = printed(file)
    assert (means.count("\x1b[1m"), means.count("\x1b[4m")) == (7, 7)
    assert colours(printed(papers, compare_paper=True)) == 14
    assert colours(printed(file, compare_paper=True)) == 0, "twelve pictures are due no verdict"


@pytest.mark.parametrize("output", FORMATS)
def test_the_order_of_combinations_is_held_against_the_papers_in_every_format(tmp_path, capfd, output):
    demo = scores(3, inversions=("ddim", "null_text", "direct"))
    demo.to_csv(tmp_path / "demo.csv", index=False)
    say(tmp_path / "demo.csv", model="demo")
    print_table(tmp_path / "demo.csv", compare_paper=True, output=output)
    printed = capfd.readouterr()
    agreement = "Rank agreement with the paper (Kendall's tau, 3 combinations): structure "
    assert agreement in (printed.err if output is TableFormat.csv else printed.out)


def test_two_combinations_have_no_order_to_speak_of(file, show):
    assert not any("Rank agreement" in remark for remark in show(file, compare_paper=True)[1])


def test_numbers_stand_to_the_right_and_combinations_apart(file, monkeypatch, tmp_path):
    from rich.console import Console

    console = Console(width=100, record=True, file=(tmp_path / "printed").open("w"))
    for module in (grid, table):
        monkeypatch.setattr(module, "out", console)
    print_table(file, versus="ddim+p2p")
    pd.concat([pd.read_csv(file), pd.read_csv(file).assign(method="pnp")]).to_csv(file, index=False)
    print_table(file, by_type=True)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    first = next(i for i, line in enumerate(lines) if "8 change background" in line)
    assert lines[first + 1] == "" and "1 change object" in lines[first + 2]
    assert "…" not in "".join(lines)


def test_an_infinite_psnr_is_told_from_a_missing_one(file, show):
    rows = pd.read_csv(file)
    rows.loc[rows["inversion"] == "direct", "psnr_unedit_part"] = np.inf
    rows.to_csv(file, index=False)
    found = show(file)[0].set_index("inversion")["psnr"]
    assert found["direct"] == "inf" and isinstance(found["ddim"], float)


def test_two_pictures_have_no_winner(file, show):
    rows, remarks = show(file, versus="ddim+p2p")
    assert set(rows["better"]) == {""} and {"p", "p_holm"} < set(rows.columns)
    assert any("direct+p2p: fewer than 20 pairs" in remark for remark in remarks)
    assert any("adjusted for the 8 metrics shown (Holm)" in remark for remark in remarks)
