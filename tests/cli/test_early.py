"""Mistakes that are known before a model is loaded are told before, and say what to do."""

import json
import os
import shutil
import time

import pytest
import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.hub import require_hub
from piebench_eval.recipes.builtin import recipe_names
from tests.support.commands import HEAVY, in_a_new_process, piebench

PAIR = ["--inversion", "ddim", "--method", "p2p"]


@pytest.fixture
def mistakes(photo_bench, tiny_model, tiny_lcm, tmp_path):
    out = ["--out", tmp_path / "run"]
    run = ["run", "--data", photo_bench, "--model", tiny_model, *PAIR]
    things = tmp_path / "things"
    things.mkdir()
    (things / "thesis.tex").touch()
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text("stepz: 3\n")
    (tmp_path / "file").touch()
    numbered = tmp_path / "numbered"
    numbered.mkdir()
    for number in range(10):
        shutil.copy(next(photo_bench.rglob("*.png")), numbered / f"{number}.png")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "sweep.yaml").write_text("axes: {}\n")
    demo = ["run", "--data", "demo", "--model", "demo", *PAIR, *out]
    flow = ["run", "--config", "demo-flow", *out]
    return {
        "a resolution that does not divide": ([*run, *out, "--set", "resolution=500"], "multiple of"),
        "the demo's model at 512 pixels": ([*demo, "--set", "resolution=512"], "leave resolution out"),
        "the demo's flow model at 512 pixels": ([*flow, "--set", "resolution=512"], "leave resolution out"),
        "the demo's flow model with T5's tokens": (
            [*flow, "--set", "t5_length=256"],
            "t5_length=256: demo-flow was trained with 1; --set t5_length=1, or --config demo-flow",
        ),
        "a pack that is not there": (["verify", tmp_path / "x.piebench.zip"], "there is no such file"),
        "a pack of no run": (["pack", things], "is not a run folder"),
        "a pack of another name": (["pack", things, "--out", tmp_path / "x.zip"], "ends in .piebench.zip"),
        "a pack for no repository": (["push", "x", tmp_path / "x.piebench.zip"], "OWNER/NAME"),
        "below a file": ([*run, "--out", tmp_path / "file" / "run"], "is a file"),
        "a folder of other things": ([*run, "--out", things], "thesis.tex"),
        "a recipe that is none": (
            ["run", "--config", "papr", *out],
            ", ".join(recipe_names()),
        ),
        "a misspelt field beside missing ones": (["run", "--config", misspelt, *out], "is steps meant?"),
        "a misspelt setting": ([*run, *out, "--set", "method.blend_strat=0.1"], "blend_start"),
        "steps twice": ([*run, *out, "--steps", "20", "--set", "steps=10"], "--steps says 20"),
        "a setting twice": ([*run, *out, "--set", "seed=1", "--set", "seed=2"], "give seed once"),
        "no place of features": ([*run, *out, "--feature-memory", "8GB"], "device=8GB,host=32GB"),
        "a type that is none": ([*run, *out, "--types", "styles"], "9 change style"),
        "an inversion that the model does not go with": (
            ["run", "--data", photo_bench, "--model", tiny_lcm, "--inversion", "null_text", *PAIR[2:], *out],
            "null_text+p2p: null_text needs unconditional rows",
        ),
        "names that are no ids": (
            ["score", "--images", numbered, "--data", photo_bench, "--name", "mine"],
            "10 pictures match no id (0.png, 1.png, 2.png, ...); the ids look like 000000000001",
        ),
        "status of a sweep": (["status", sweep], "piebench sweep"),
        "table of a sweep": (["table", sweep], "piebench sweep"),
        "report of a sweep": (["report", sweep], "piebench sweep"),
        "score of a sweep": (["score", sweep], "piebench sweep"),
    }


def test_mistakes_are_told_before_anything_heavy_is_imported(mistakes, tmp_path):
    finished = in_a_new_process(*(arguments for arguments, _ in mistakes.values()), heavy=(*HEAVY, "lpips"))
    for (name, (_, words)), done in zip(mistakes.items(), finished, strict=True):
        assert done.returncode == 2, (name, done.stderr)
        assert words in " ".join(done.stderr.split()), (name, done.stderr)
        assert "Traceback" not in done.stderr, name
        assert done.heavy == (), name
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_a_device_that_is_not_there_is_told_at_planning(photo_bench, tiny_model, tmp_path, device):
    out = tmp_path / "run"
    command = ["run", "--data", photo_bench, "--model", tiny_model, *PAIR, "--out", out, "--device", device]
    done = piebench(*command)
    assert done.returncode == 2 and f"--device {device}: this machine has 0 CUDA devices" in done.stderr
    assert "samples x" not in done.stderr and not out.exists()


def test_a_folder_that_may_not_be_written_to(photo_bench, tiny_model, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    allows = os.access  # root may write anywhere, whatever the folder's mode
    monkeypatch.setattr(os, "access", lambda place, mode: place.name != "closed" and allows(place, mode))
    out = tmp_path / "closed" / "run"
    done = piebench("run", "--data", photo_bench, "--model", tiny_model, *PAIR, "--out", out, "--dry-run")
    assert done.returncode == 2 and "is not writable" in done.stderr


@pytest.mark.parametrize("name", ["slurm-1.out", "manifest.json", "cache", "benchmark"])
def test_what_may_be_in_a_runs_folder_before_it_begins(photo_bench, tiny_model, tmp_path, name):
    (tmp_path / name).touch()
    command = ["run", "--data", photo_bench, "--model", tiny_model, *PAIR, "--out", tmp_path, "--dry-run"]
    assert piebench(*command).returncode == 0


@pytest.mark.parametrize("kind", ["style", "change_style", "change style"])
def test_types_go_by_their_names(photo_bench, tiny_model, tmp_path, kind):
    command = ["run", "--data", photo_bench, "--model", tiny_model, *PAIR, "--out", tmp_path / "run"]
    done = piebench(*command, "--dry-run", "--json", "--types", kind)
    assert [part["missing"] for part in json.loads(done.stdout)["plan"]] == [1]


def test_pictures_of_the_demo_are_scored_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = piebench("score", "--images", tmp_path, "--data", "demo", "--name", "mine")
    assert done.returncode == 2 and "40 pictures are missing" in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status", "nowhere", "--json"], "nowhere is not a run folder"),
        (["table", "nowhere", "--format", "json"], None),
        (["run", "--jsonn", "--json"], "--jsonn"),
    ],
)
def test_errors_are_json_where_json_is_asked_for(command, words):
    done = piebench(*command)
    assert done.returncode == 2
    if words is not None:
        assert words in json.loads(done.stdout)["error"] and not done.stderr


def test_all_fields_of_a_recipe_are_listed():
    from piebench_eval.recipes.recipe import Recipe

    listed = json.loads(piebench("methods", "--recipe", "--json").stdout)
    assert list(listed) == list(Recipe.model_fields)
    assert listed["steps"]["default"] == 50 and listed["model"]["required"]
    assert "steps = 50: sampling steps" in piebench("methods", "--recipe").stdout


def test_without_a_network_a_hub_id_is_refused_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr("piebench_eval.models.hub.getproxies", dict)
    began = time.monotonic()
    with pytest.raises(PiebenchError, match=r"is not on this machine, and hub\.invalid cannot be reached"):
        require_hub("--model", "nobody/nothing", "unet/config.json")
    assert time.monotonic() - began < 5


def test_whoever_has_a_proxy_is_left_to_the_library(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr("piebench_eval.models.hub.getproxies", lambda: {"https": "http://proxy"})
    require_hub("--model", "nobody/nothing", "unet/config.json")
