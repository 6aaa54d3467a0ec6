"""Scores of several runs and folders in one table."""

import json

import numpy as np
import pytest

import piebench_eval as pb
from piebench_eval.cli.table import TableFormat, print_table
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import CLIP_SOURCE, MSE, PSNR
from piebench_eval.tables.combined import combine_scores, disambiguate
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.score_table import make_score_table, read_run_scores
from piebench_eval.tables.views import beside_paper_view
from tests.support.commands import piebench
from tests.tables.test_tables import PAPER_LIKE, scores

NETWORKS = PAPER_LIKE["networks"]


def write(file, rows, **about):
    """A scores file with what made it; a run's if it is called scores.csv."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows.insert(1, "type", [str(int(id_) % 10) for id_ in rows["id"]])
    rows[CLIP_SOURCE] = 25 + rows["id"].astype(float) / 1000
    rows[MSE] = 10 ** (-rows[PSNR] / 10)
    rows.to_csv(file, index=False, na_rep="nan")
    file.with_suffix(".json").write_text(json.dumps({"protocol": "paper", "networks": NETWORKS, **about}))


@pytest.fixture
def places(tmp_path):
    """Two runs of the same combinations by different settings, and a folder's scores."""
    for run, steps in (("a", 10), ("b", 50)):
        rows = scores(30)
        rows[PSNR] += steps
        combinations = {f"{name}+p2p": {"model": "sd", "steps": steps} for name in ("ddim", "direct")}
        write(tmp_path / run / "scores.csv", rows, combinations=combinations, image_format="png")
    mine = scores(30, inversions=("x",)).drop(columns=["inversion", "method"]).assign(name="mine")
    mine[PSNR] += 20
    write(tmp_path / "mine.csv", mine, name="mine")
    return [tmp_path / "a", tmp_path / "b", tmp_path / "mine.csv"]


def test_runs_and_folders_stand_in_one_table_and_every_row_is_told_apart(places):
    table = pb.table(places)
    found = list(zip(table["method"], table["inversion"], table["run"], strict=True))
    pairs = [("p2p", inversion, run) for inversion in ("ddim", "direct") for run in "ab"]
    assert found == [*pairs, ("mine", "", "")]
    assert (np.diff(table["psnr"].iloc[[0, 1]]) > 39).all()


def test_without_a_name_in_common_no_run_is_named(places):
    table = pb.table([places[0], places[2]])
    assert "run" not in table.columns
    assert table["method"].tolist() == ["p2p", "p2p", "mine"]


def test_one_is_held_against_any_other_by_sample(places):
    table = pb.table(places, versus="mine").set_index(["combination", "metric"])
    assert set(table.index.get_level_values(0)) == {
        f"{run}/{name}+p2p" for run in "ab" for name in ("ddim", "direct")
    }
    assert set(table["pairs"]) == {30}
    assert table.loc[("a/direct+p2p", "psnr"), "better"] == "mine"
    assert table.loc[("b/direct+p2p", "psnr"), "better"] == "b/direct+p2p"


def test_a_name_that_two_runs_have_is_asked_for_with_its_run(places):
    done = piebench("table", *places, "--versus", "direct+p2p")
    assert done.returncode == 2
    assert "say of which run: a/direct+p2p or b/direct+p2p" in " ".join(done.stderr.split())
    assert piebench("table", *places, "--versus", "a/direct+p2p").returncode == 0


def test_samples_that_are_nobody_elses_cannot_be_compared(places, tmp_path):
    rows = scores(4, inversions=("x",)).drop(columns=["inversion", "method"]).assign(name="theirs")
    rows["id"] = [f"77{id_}" for id_ in rows["id"]]
    write(tmp_path / "theirs.csv", rows)
    places = [*places, tmp_path / "theirs.csv"]
    assert len(pb.table(places)) == 6
    done = piebench("table", *places, "--versus", "mine")
    assert done.returncode == 2
    assert "theirs and mine have no sample in common" in " ".join(done.stderr.split())


def test_samples_in_common_are_compared_alone(places, tmp_path):
    rows = scores(40, inversions=("x",)).drop(columns=["inversion", "method"]).assign(name="theirs")
    write(tmp_path / "theirs.csv", rows.iloc[5:].reset_index(drop=True))
    table = pb.table([places[0], tmp_path / "theirs.csv"], versus="theirs")
    assert set(table["pairs"]) == {25}


def test_another_benchmark_under_the_same_ids_is_refused_or_remarked(places, tmp_path):
    rows = scores(30, inversions=("x",)).drop(columns=["inversion", "method"]).assign(name="theirs")
    write(tmp_path / "theirs.csv", rows)
    text = (tmp_path / "theirs.csv").read_text()
    rows.assign(**{CLIP_SOURCE: 11.0}).to_csv(tmp_path / "theirs.csv", index=False)
    remarks = pb.table([places[0], tmp_path / "theirs.csv"]).attrs["remarks"]
    assert any("the sources of 30 ids do not look the same to CLIP" in remark for remark in remarks)
    (tmp_path / "theirs.csv").write_text(text)
    assert pb.table([places[0], tmp_path / "theirs.csv"]).attrs["remarks"] == []
    rows.assign(type="3").to_csv(tmp_path / "theirs.csv", index=False)
    with pytest.raises(PiebenchError, match="are of different benchmarks"):
        pb.table([places[0], tmp_path / "theirs.csv"])


def test_the_demos_reference_rows_stand_there_once(places):
    for place in places[:2]:
        rows = scores(30, inversions=("ddim", "direct", ""))
        rows.loc[rows["inversion"] == "", "method"] = "oracle"
        rows.loc[rows["inversion"] != "", PSNR] += len(place.name)
        write(place / "scores.csv", rows)
    table = pb.table(places)
    assert table.loc[table["method"] == "oracle", ["inversion", "run", "images"]].to_numpy().tolist() == [
        ["", "", 30]
    ]


@pytest.mark.parametrize("output", list(TableFormat))
def test_the_papers_rows_stand_between_the_measured_ones(places, capfd, output):
    print_table(places, compare_paper=True, output=output)
    assert "(paper)" in capfd.readouterr().out
    table = pb.table(places, compare_paper=True)
    direct = table[(table["method"] == "p2p") & (table["inversion"] == "direct")]
    assert direct["run"].tolist() == ["(paper)", "a", "b"]
    assert direct["psnr"].iloc[0] == 27.22 and direct["images"].iloc[0] == 700
    assert table["method"].tolist()[-1] == "mine"
    remarks = "\n".join(table.attrs["remarks"])
    assert (
        "steps is 10, the paper's is 50" in remarks
        and "mine: no verdict, since Table 1 has no such" in remarks
    )


def test_the_papers_rows_are_nobodys_demo(places):
    for place in (places[0] / "scores.json", places[1] / "scores.json", places[2].with_suffix(".json")):
        place.write_text(json.dumps({"networks": dict.fromkeys(NETWORKS, "demo")}))
    table = pb.table(places, compare_paper=True)
    assert set(table.loc[table["run"] == "(paper)", "model"]) == {""}
    assert set(table.loc[table["run"] != "(paper)", "model"]) == {"demo"}


def test_a_run_by_the_papers_settings_is_due_a_verdict_beside_others(tmp_path):
    write(tmp_path / "papers" / "scores.csv", scores(700), **PAPER_LIKE)
    write(
        tmp_path / "mine.csv",
        scores(700, inversions=("x",)).drop(columns=["inversion"]).rename(columns={"method": "name"}),
    )
    files = [tmp_path / "papers" / "scores.csv", tmp_path / "mine.csv"]
    parts = [read_run_scores(file, file, file.with_suffix(".json")) for file in files]
    view = beside_paper_view(make_score_table(*combine_scores(disambiguate(parts)), None))
    judged = {view.table["run"][row] for row, _ in view.marks}
    assert len(view.marks) == 14 and set(view.marks.values()) <= {Mark.AGREES, Mark.DIFFERS}
    assert judged == {""}
    assert any("direct+p2p: 0 of 7 metrics agree with the paper's" in remark for remark in view.remarks)


def test_a_place_that_is_named_twice_is_refused(places):
    with pytest.raises(PiebenchError, match="named twice"):
        pb.table([places[0], places[0] / "scores.csv"])


def test_a_run_in_a_table_with_others_keeps_its_own_means(places):
    print_table(places)
    assert not (places[0] / "table.csv").exists()
    print_table(places[0])
    assert (places[0] / "table.csv").is_file()


def test_a_metric_that_one_run_lacks_is_blank_and_said_to_be(tmp_path):
    write(tmp_path / "a" / "scores.csv", scores(30))
    write(tmp_path / "b" / "scores.csv", scores(30).assign(dino_similarity=0.9))
    paths = [tmp_path / "a", tmp_path / "b"]
    done = piebench("table", *paths, "--format", "markdown")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| p2p")]
    assert [line.split("|")[-2].strip(" *") for line in rows] == ["", "90.00"] * 2
    assert "a/ddim+p2p: no mean of dino_similarity, not computed or nan for every image" in done.stdout
    assert "nan of 30" not in done.stdout and "b/ddim+p2p" not in done.stdout
