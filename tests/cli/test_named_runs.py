"""``piebench run`` with a recipe that names runs, one command after the other, and the table of them all."""

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from piebench_eval.cli import sweep_runs
from piebench_eval.runs.estimates.measured_pace import timed_device
from piebench_eval.runs.execute import RunSummary
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.sweep_folder import read_sweep
from tests.support.commands import piebench
from tests.support.recipes import shipped

PIXELS = ("--metrics", "psnr_unedit_part", "--device", "cpu")


@pytest.fixture(scope="module")
def command(tiny_model, photo_bench, tmp_path_factory):
    """Two runs of the same pair by other settings, which one run folder could not hold."""
    folder = tmp_path_factory.mktemp("suite")
    own = {"model": str(tiny_model), "inversions": ["ddim"], "methods": ["p2p"]}
    (folder / "own.yaml").write_text(yaml.safe_dump(own))
    runs = {"one": {"recipe": "own.yaml"}, "other": {"recipe": "own.yaml", "image_format": "jpeg:75"}}
    (folder / "suite.yaml").write_text(yaml.safe_dump({"steps": 2, "runs": runs}))
    where = ("--data", photo_bench, "--limit", 1, "--device", "cpu")
    return ("run", "--config", folder / "suite.yaml", *where)


@pytest.fixture(scope="module")
def made(command, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "suite"
    done = piebench(*command, "--out", out)
    assert done.returncode == 0 and "2 runs: 2 edits made" in done.stdout, done.stderr
    assert f"piebench sweep {out}" in done.stdout.replace("\n", "")
    return out


def test_every_run_is_an_ordinary_one_under_its_name(made):
    assert [run.folder for run in read_sweep(made).runs] == ["one", "other"]
    formats = [RunStore.read(made / name).recipe.image_format for name in ("one", "other")]
    assert formats == ["png", "jpeg:75"]
    assert not (made / "cache").exists(), "runs with other inversions have nothing to share"


def test_the_same_command_resumes_and_one_table_has_all_runs(made, command, tmp_path):
    out = tmp_path / "suite"
    shutil.copytree(made, out)
    shutil.rmtree(out / "other")
    assert "2 runs: 1 edits made, 1 were there already" in piebench(*command, "--out", out).stdout
    assert piebench("sweep", out, *PIXELS).returncode == 0
    table = pd.read_csv(out / "table.csv")
    assert list(table.columns[:3]) == ["run", "method", "inversion"]
    assert table["run"].tolist() == ["one", "other"]


def test_errors_name_the_run(command, tmp_path):
    done = piebench(*command, "--out", tmp_path / "suite", "--set", "resolution=100")
    assert done.returncode == 2 and "run one: resolution 100: must be a multiple" in done.stderr
    done = piebench(*command, "--out", tmp_path / "suite", "--inversion", "direct")
    assert done.returncode == 2 and "--inversion direct: every run of" in done.stderr


def test_runs_of_one_model_follow_each_other(command, tiny_model, tmp_path, monkeypatch):
    made = []

    def execute_with_progress(plan):
        made.append((plan.out.name, [later.out.name for later in plan.after]))
        return RunSummary()

    monkeypatch.setattr(sweep_runs, "execute_with_progress", execute_with_progress)
    own = {"recipe": str(command[2].parent / "own.yaml")}
    runs = {name: {**own, "seed": seed} for seed, name in enumerate("abcd")}
    runs["b"]["precision"] = "bf16"
    file = tmp_path / "runs.yaml"
    file.write_text(yaml.safe_dump({"runs": runs}))
    done = piebench("run", "--config", file, *command[3:], "--out", tmp_path / "suite")
    assert done.returncode == 0, done.stderr
    assert made == [("a", ["c", "d"]), ("c", ["d"]), ("d", []), ("b", [])]
    assert done.stderr.count("the time left is that of all 3 runs with this model") == 2
    assert [run.folder for run in read_sweep(tmp_path / "suite").runs] == list("abcd")


def test_a_dry_run_is_one_table_and_invents_no_hours(command, tmp_path):
    out = tmp_path / "suite"
    done = piebench(*command, "--out", out, "--dry-run")
    assert done.returncode == 0 and not out.exists(), done.stderr
    assert done.stdout.count("ddim+p2p") == 2 and done.stdout.count("unknown") == 3
    assert "no pace was measured on" in done.stdout and "scripts/bench.py --model" in done.stdout
    assert "--limit 2 and without --dry-run" in done.stdout


def test_quantised_weights_go_on_at_another_pace():
    full, same, quantised = (
        sweep_runs._models(SimpleNamespace(recipe=shipped("fireflow-flux", changed)))
        for changed in ({}, {"seed": 5}, {"weights": "int8"})
    )
    assert full == same != quantised


def test_hours_are_those_of_the_bench_on_this_device(command, tiny_model, tmp_path):
    import torch

    fields = {
        "device": timed_device(torch.device("cpu")),
        "model": "published/model",
        "denoiser": {"sample_size": 16},
        "precision": "fp32",
        "resolution": 128,
        "seconds_per_evaluation": 100.0,
        "seconds_per_picture": 10.0,
    }
    others = [{**fields, "device": "another"}, {**fields, "denoiser": {"sample_size": 17}}]
    file = tmp_path / "bench.json"
    arguments = (*command, "--out", tmp_path / "suite", "--dry-run", "--pace", file)
    file.write_text(json.dumps({"pace": [*others, {**fields, "resolution": 256}]}))
    plan = json.loads(piebench(*arguments, "--json").stdout)["plan"]
    assert [(part["seconds"], part["source"]) for part in plan] == [(None, ""), (None, "")]
    file.write_text(json.dumps({"pace": [*others, fields, {**fields, "seconds_per_evaluation": 200.0}]}))
    plan = json.loads(piebench(*arguments, "--json").stdout)["plan"]
    expected = 100 * plan[0]["rows_to_compute"] + 10
    assert [(part["seconds"], part["source"]) for part in plan] == [(expected, "bench")] * 2
    printed = piebench(*arguments).stdout
    assert f"Times: by the bench on {fields['device']}" in printed and "unknown" not in printed
    # A single run's dry run knows it as well.
    single = piebench("run", "--config", command[2].parent / "own.yaml", *command[3:], "--steps", 2, "--out",
                      tmp_path / "single", "--dry-run", "--pace", file)  # fmt: skip
    assert f"By the pace of the bench on {fields['device']}" in single.stdout, single.stderr
    file.write_text("{}")
    assert "does not hold pace" in piebench(*arguments).stderr
