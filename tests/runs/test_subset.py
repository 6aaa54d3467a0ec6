"""A run on a fixed subset, its scores and what is said of them."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.subsets import select_subset
from piebench_eval.demo.benchmark import write_benchmark
from piebench_eval.explain.claimed_images import claim_obstacle, evaluation_set_at
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.dataset import subset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.scoring.evaluation_set import evaluation_set_of_run
from tests.support.fake_runner import fake_runner
from tests.support.runs import run


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("bench") / "drawn", per_type=1)


@pytest.fixture
def edit(fake_recipe, bench, tmp_path):
    def edit(**selection):
        run(fake_recipe, bench, tmp_path / "run", Selection(**selection), make_runner=fake_runner())
        return RunStore.read(tmp_path / "run")

    return edit


def test_a_run_knows_its_subset_and_so_do_its_scores(edit):
    store = edit(subset="quick-140")
    assert len(store.manifest()["samples"]) == 2
    found = evaluation_set_of_run(store.folder)
    assert found.about["subset"] == {"name": "quick-140", "samples": 2, "of": 10}
    said = claim_obstacle(found, found.edited_images)
    assert said.startswith("No verdict") and "quick-140, 2 of the benchmark's 10 samples" in said


def test_the_largest_of_several_subsets_counts_and_other_samples_end_it(edit):
    edit(subset="quick-140")
    assert subset_of_run(edit(subset="quick-70")) == "quick-140"
    assert subset_of_run(edit()) is None
    assert "subset" not in evaluation_set_of_run(edit().folder).about


def test_a_subset_of_a_whole_run_is_scored_on_demand(edit):
    store = edit()
    found = evaluation_set_of_run(store.folder, subset="quick-70")
    assert found.about["subset"] == {"name": "quick-70", "samples": 1, "of": 10}
    assert len({each.sample.id for each in found.edited_images}) == 1


@pytest.fixture(scope="module")
def scored(bench, tmp_path_factory):
    """Darker sources, scored on a subset alone; the others are not even there."""
    folder = tmp_path_factory.mktemp("scored")
    (chosen,) = select_subset(load_pie_bench(bench), "quick-70")
    (folder / "edits").mkdir()
    with Image.open(chosen.file) as source:
        source.point(lambda value: value // 2).save(folder / "edits" / f"{chosen.id}.png")
    arguments = [
        *("--images", str(folder / "edits"), "--data", str(bench), "--out", str(folder / "mine.csv")),
        *("--name", "mine", "--metrics", "psnr_unedit_part", "--device", "cpu", "--subset", "quick-70"),
    ]
    done = CliRunner().invoke(app, ["score", *arguments])
    assert done.exit_code == 0, done.output
    return folder / "mine.csv"


def test_the_scores_of_a_folder_name_the_subset(scored):
    about = json.loads(scored.with_suffix(".json").read_text())
    assert about["subset"] == {"name": "quick-70", "samples": 1, "of": 10} and not about["missing"]
    assert len(pd.read_csv(scored)) == 1
    assert evaluation_set_at(scored).about["subset"]["name"] == "quick-70"


@pytest.mark.parametrize("options", [[], ["--format", "markdown"], ["--compare-paper"]])
def test_every_table_of_it_says_so(scored, options):
    done = CliRunner().invoke(app, ["table", str(scored), *options])
    assert "scores of a subset: quick-70, 1 of the benchmark's 10 samples" in done.output


def test_whole_scores_have_no_such_obstacle():
    assert claim_obstacle(SimpleNamespace(about={}), []) is None
