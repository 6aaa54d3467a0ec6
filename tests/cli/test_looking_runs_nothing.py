"""Looking at a run folder runs no code that it names, and `run` none that has changed."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import piebench_eval as pb
from piebench_eval.api.running import edits_frame
from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.recipes.sweep import Sweep, SweepRun
from piebench_eval.report.contact_sheet import run_sheet
from piebench_eval.runs.engines.base import recipe_for_worker
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.runner import EditResult
from piebench_eval.runs.store.dataset import dataset_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.sweep_folder import write_sweep
from tests.support.fake_runner import FakeRunner
from tests.support.runs import run

PLUGIN = """
from pathlib import Path
from piebench_eval.methods.p2p import P2P
Path(__file__).with_name("it-ran").touch()
METHODS = {"planted": P2P}
"""
POINT, COMBINATION = "steps=4", "direct+planted"


class Large(FakeRunner):
    """Draws what metrics can look at."""

    def draw(self, combination, sample, peak):
        image = np.full((64, 64, 3), 90, dtype=np.uint8)
        return EditResult(sample, image, None, 0.1, 7, 2, 3, peak, [])


def large_runner(spec, recipe):
    return Large()


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def forget_plugins(monkeypatch):
    monkeypatch.setattr(METHODS, "_plugins", {})


@pytest.fixture(scope="module")
def made(tiny_model, photo_bench, tmp_path_factory):
    """The folder of a sweep with one point, and the plugin that made it."""
    folder = tmp_path_factory.mktemp("stranger")
    plugin = folder / "plugin.py"
    plugin.write_text(PLUGIN)
    fields = {"model": str(tiny_model), "inversions": ["direct"], "methods": ["planted"], "steps": 4}
    recipe = build_recipe({**fields, "plugins": [str(plugin)]}, {}, "test")
    sweep = folder / "sweep"
    run(recipe, photo_bench, sweep / POINT, Selection(limit=1), make_runner=large_runner)
    write_sweep(Sweep({"steps": [4]}, [SweepRun(POINT, {"steps": 4}, recipe.hash)]), sweep)
    assert invoke("score", sweep / POINT, "--metrics", "psnr_unedit_part").exit_code == 0
    return sweep, plugin


@pytest.fixture
def stranger(made, tmp_path):
    """A copy of it, and the file that the plugin writes whenever it is imported."""
    shutil.copytree(made[0], tmp_path / "sweep")
    trace = made[1].with_name("it-ran")
    trace.unlink(missing_ok=True)
    return tmp_path / "sweep", trace


def _look(folder, name):
    """A command's arguments and what must be there before it."""
    point, baseline = folder / POINT, folder / "baseline.csv"
    if name == "check":
        done = invoke("check", point, "--baseline", baseline, "--update")
        assert done.exit_code == 0, done.output
        (folder / "tolerances.yaml").write_text("psnr: 0.1\n")
    pack = folder / "x.piebench.zip"
    if name == "verify":
        assert invoke("pack", point, "--out", pack).exit_code == 0
    (session,) = (point / "sessions").glob("*.json")
    data = json.loads(session.read_text())["data_folder"]
    claims = ("--claimed", "psnr=20.1", "--pairs", "none", "--device", "cpu")
    return {
        "status": (point, "--verify"),
        "score": (point, "--metrics", "psnr_unedit_part,mse_unedit_part", "--device", "cpu"),
        "table": (point, "--intervals"),
        "report": (point,),
        "check": (point, "--baseline", baseline),
        "sweep": (folder, "--metrics", "psnr_unedit_part", "--device", "cpu"),
        "explain": (point, *claims),
        "pack": (point, "--out", pack),
        "leaderboard": ("--with", point),
        "lint": (point / "scores.csv",),
        "verify": (pack, "--data", data, "--rerun", 1, "--device", "cpu"),
    }[name]


LOOKING = (
    "status",
    "score",
    "table",
    "report",
    "check",
    "sweep",
    "explain",
    "pack",
    "verify",
    "leaderboard",
    "lint",
)
MAKING = ("run", "demo")
"""They edit, with the plugins that their user names."""
WITHOUT_A_RUN = ("methods", "metrics", "push")


def test_every_command_is_known_here():
    commands = {command.name for command in app.registered_commands}
    assert commands == {*LOOKING, *MAKING, *WITHOUT_A_RUN}


@pytest.mark.parametrize("name", LOOKING)
def test_no_command_that_looks_imports_a_plugin(stranger, name):
    folder, trace = stranger
    done = invoke(name, *_look(folder, name))
    assert done.exit_code == 0, done.output
    assert not trace.exists()


@pytest.mark.parametrize(
    "look",
    [
        lambda run: pb.score(run, metrics="psnr_unedit_part", device="cpu", progress=False),
        lambda run: pb.table(run),
        lambda run: edits_frame(RunStore.read(run), dataset_of_run(RunStore.read(run))[1]),
        lambda run: run_sheet(RunStore.read(run), dataset_of_run(RunStore.read(run))[1], run),
    ],
    ids=["pb.score", "pb.table", "edits_frame", "run_sheet"],
)
def test_no_function_that_looks_imports_a_plugin(stranger, look):
    folder, trace = stranger
    look(folder / POINT)
    assert not trace.exists()


def test_a_run_can_be_looked_at_when_its_plugin_is_gone(stranger, made):
    kept = made[1].read_bytes()
    made[1].unlink()
    try:
        done = invoke("status", stranger[0] / POINT)
    finally:
        made[1].write_bytes(kept)
    assert done.exit_code == 0 and COMBINATION in done.output


@pytest.fixture
def again(made, tiny_model, photo_bench):
    """How the run is gone on with."""
    what = ("--data", photo_bench, "--model", tiny_model, "--inversion", "direct", "--method", "planted")
    return [*what, "--plugin", made[1], "--devices", "cpu"]


@pytest.mark.parametrize("swept", [False, True], ids=["run", "point of a sweep"])
def test_run_compares_a_plugin_before_it_imports_it(stranger, made, again, swept):
    folder, trace = stranger
    where = (folder, "--sweep", "steps=4") if swept else (folder / POINT, "--set", "steps=4")
    kept = made[1].read_text()
    made[1].write_text(kept + "# another day\n")
    try:
        done = invoke("run", *again, "--out", *where)
    finally:
        made[1].write_text(kept)
    assert done.exit_code == 2 and not trace.exists()
    said = " ".join(done.output.split())
    assert f"plugin {made[1]}: changed since the run began" in said and "--out" in said


def test_run_goes_on_with_the_plugin_that_it_began_with(stranger, again):
    folder, trace = stranger
    done = invoke("run", *again, "--set", "steps=4", "--limit", "1", "--out", folder / POINT, "--dry-run")
    assert done.exit_code == 0, done.output
    assert trace.exists()


def test_a_worker_compares_a_plugin_before_it_imports_it(stranger, made):
    """A worker in a process of its own imports plugins itself, and may start long after the session."""
    folder, trace = stranger
    recipe = (folder / POINT / "recipe.yaml").read_text()
    kept = made[1].read_text()
    made[1].write_text(kept + "# another day\n")
    try:
        with pytest.raises(PiebenchError, match="changed since the run began"):
            recipe_for_worker(SimpleNamespace(out=folder / POINT), recipe)
    finally:
        made[1].write_text(kept)
    assert not trace.exists()
    assert recipe_for_worker(SimpleNamespace(out=folder / POINT), recipe).to_yaml() == recipe


HOSTILE = {
    "a name that leaves the folder": {"inversions": {"../../etc": {}}},
    "no methods": {"methods": {}},
    "a list": {"inversions": ["direct"]},
    "a date": {"steps": "2020-01-01"},
    "a section that is none": {"combinations": {COMBINATION: {"method": [1]}}},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_a_recipe_that_nobody_wrote_is_refused_plainly(stranger, changes):
    file = stranger[0] / POINT / "recipe.yaml"
    fields = {**yaml.safe_load(file.read_text()), **changes}
    file.write_text(yaml.safe_dump(fields).replace("'2020-01-01'", "2020-01-01"))
    done = invoke("status", stranger[0] / POINT)
    assert done.exit_code == 2 and "recipe.yaml: cannot be used" in done.output


def test_a_manifest_that_nobody_wrote_is_refused_plainly(stranger):
    file = stranger[0] / POINT / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "plugins": [1]}))
    with pytest.raises(PiebenchError, match=r"manifest\.json: is damaged"):
        RunStore.read(stranger[0] / POINT)
