"""The gate on the demo: faults are caught, and the same run made otherwise passes.

A small recipe, direct+p2p on three samples in ten steps, makes its own baseline here, so that a run takes a
second. That twenty of twenty such runs pass with the whole of ``piebench demo --quick`` is what
``python scripts/gate_repeats.py`` shows.
"""

import json
import re
import shutil
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.demo.benchmark import embedded_benchmark
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.shard import Shard
from tests.demo.test_regression import BASELINES, no_control, no_offset, reversed_words
from tests.support.runs import run

SAMPLES = 3


def piebench(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return embedded_benchmark(tmp_path_factory.mktemp("gate") / "benchmark")


@pytest.fixture(scope="module")
def make(benchmark):
    """Make and score a run of the small recipe, with so many samples per batch, by so many shards."""
    fields = select_combinations(read_recipe_fields(DEMO_RECIPE), ["direct"], ["p2p"], str(DEMO_RECIPE))
    recipe = build_recipe(fields, {"steps": 10}, str(DEMO_RECIPE))

    def scored(folder, batch_size=SAMPLES, shards=1):
        for index in range(shards):
            shard = Shard(index, shards)
            run(recipe, benchmark, folder, Selection(limit=SAMPLES), shard=shard, batch_size=batch_size)
        code, printed = piebench("score", folder, "--device", "cpu", "--batch-size", batch_size)
        assert code == 0, printed
        return folder

    return scored


@pytest.fixture(scope="module")
def baseline(make, tmp_path_factory):
    folder = tmp_path_factory.mktemp("baseline")
    shutil.copy(BASELINES / "tolerances.yaml", folder)
    code, printed = piebench("check", make(folder / "run"), "--baseline", folder / "base.csv", "--update")
    assert code == 0, printed
    return folder / "base.csv"


@pytest.mark.parametrize(
    ("batch_size", "shards"),
    [(1, 3), pytest.param(1, 1, marks=pytest.mark.slow), pytest.param(2, 1, marks=pytest.mark.slow)],
)
def test_other_batches_and_shards_pass(make, baseline, tmp_path, batch_size, shards):
    folder = make(tmp_path / "run", batch_size, shards)
    code, printed = piebench("check", folder, "--baseline", baseline)
    assert code == 0, printed
    largest = re.search(r"the largest move is ([\d.]+)%", printed)
    assert largest is None or float(largest[1]) < 5


@pytest.mark.parametrize(
    "fault", [reversed_words, *(pytest.param(f, marks=pytest.mark.slow) for f in (no_control, no_offset))]
)
def test_a_fault_is_caught(fault, make, baseline, tmp_path, monkeypatch):
    fault(monkeypatch)
    folder = make(tmp_path / "run")
    code, printed = piebench("check", folder, "--baseline", baseline, "--junit", tmp_path / "gate.xml")
    assert code == 1 and "FAILED" in printed, printed
    cases = {
        case.get("classname"): case for case in ElementTree.parse(tmp_path / "gate.xml").iter("testcase")
    }
    assert set(cases) == {"direct+p2p", "oracle", "source-copy"}


@pytest.mark.slow  # the workflow of every change does so; the tests above gate a smaller run
def test_the_quick_demos_baseline_holds(quick_run_of_10):
    code, printed = piebench("check", quick_run_of_10.folder, "--baseline", BASELINES / "demo-quick.csv")
    assert code == 0, printed
    recipe = json.loads((BASELINES / "demo-quick.json").read_text())["recipe"]
    assert set(recipe["combinations"]) == {"ddim+p2p", "direct+p2p"}


@pytest.mark.slow
def test_the_demos_baselines_hold(whole_run):
    for baseline in ("demo.csv", "demo-quick.csv"):
        code, printed = piebench("check", whole_run.folder, "--baseline", BASELINES / baseline)
        assert code == 0, printed
