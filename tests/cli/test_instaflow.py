"""The recipe ``instaflow``: planned without its model, and run with a small one."""

import json

import pytest

from piebench_eval.models.loading import load_model
from piebench_eval.models.location import find_family
from piebench_eval.runs.store.folder import RunStore
from tests.support.commands import piebench
from tests.support.tiny_model import save_tiny_instaflow

CONFIG = ("run", "--config", "instaflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_instaflow(tmp_path_factory.mktemp("models") / "flow")


def done(*arguments):
    finished = piebench(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished


def test_a_dry_run_counts_evaluations_without_the_model(tmp_path):
    told = done(*CONFIG, "--data", "demo", "--dry-run", "--json", "--out", tmp_path)
    plan = {part["combination"]: part["rows_forward"] for part in json.loads(told.stdout)["plan"]}
    assert len(plan) == 11 and "direct+plain" not in plan
    # The inversion and guided steps; six of edit-friendly's 25 are skipped.
    assert (plan["euler+plain"], plan["edit_friendly+plain"]) == (25 + 2 * 25, 19 + 2 * 19)


def test_with_a_folder_it_runs(folder, photo_bench, tmp_path):
    options = ("--set", "steps=4", "--set", "resolution=128", "--limit", 1, "--device", "cpu")
    done(*CONFIG, "--model", folder, "--data", photo_bench, *options, "--out", tmp_path)
    records = RunStore.read(tmp_path).records()
    assert len(records) == 11
    (one,) = {
        record["unet_rows_forward"] for key, record in records.items() if tuple(key)[:2] == ("euler", "plain")
    }
    assert one == 4 + 2 * 4


def test_one_step_without_guidance(folder, photo_bench, tmp_path):
    """As the recipe says how to use a one-step model: one evaluation for the inversion, one for the edit."""
    options = ("--steps", 1, "--guidance", 1, "--inversion", "edit_friendly", "--method", "plain")
    where = ("--set", "resolution=128", "--limit", 2, "--device", "cpu", "--out", tmp_path)
    done(*CONFIG, "--model", folder, "--data", photo_bench, *options, *where)
    assert [record["unet_rows_forward"] for record in RunStore.read(tmp_path).records().values()] == [2, 2]


def test_a_flow_is_known_by_its_pipeline_or_by_the_recipe(folder, tiny_model):
    assert find_family(str(folder)).name == load_model(str(folder)).family.name == "instaflow"
    assert find_family(str(tiny_model)).name == "sd1"
    taken = load_model(str(tiny_model), family="instaflow")
    assert (taken.family.name, taken.family.predicts) == ("instaflow", "velocity")


def test_the_recipe_says_that_its_model_is_a_flow(tiny_model, photo_bench, tmp_path):
    """Or ``--set family``, for a folder that says StableDiffusionPipeline; it samples along the flow then."""
    options = ("--inversion", "direct", "--method", "p2p", "--set", "resolution=128", "--steps", 2)
    common = ("--data", photo_bench, "--model", tiny_model, "--limit", 1, "--device", "cpu")
    for name, flags in (
        ("recipe", CONFIG),
        ("flag", ("run", "--set", "family=instaflow", "--guidance", 1.5)),
        ("sd1", ("run", "--guidance", 1.5)),
    ):
        done(*flags, *common, *options, "--out", tmp_path / name)
    pictures = {
        name: next((tmp_path / name / "images").rglob("*.png")).read_bytes()
        for name in ("recipe", "flag", "sd1")
    }
    assert pictures["recipe"] == pictures["flag"] != pictures["sd1"]
