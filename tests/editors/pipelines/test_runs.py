"""A pipeline as an editor on the command line."""

import json

import pytest

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.compatibility import cautions
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.runs.store.folder import RunStore
from tests.support.commands import piebench
from tests.support.tiny_pipelines import instruct_pix2pix

RECIPE = ["--editor", "instruct_pix2pix", "--device", "cpu"]
SMALL = ["--set", "steps=1", "--set", "resolution=64", "--set", "output_resolution=64", "--limit", 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return instruct_pix2pix.save(tmp_path_factory.mktemp("model"))


def test_a_run_has_the_published_settings_and_the_weights_fingerprint(folder, photo_bench, tmp_path):
    asked = ["run", *RECIPE, *SMALL, "--model", folder, "--data", photo_bench, "--out", tmp_path / "run"]
    assert piebench(*asked).returncode == 0
    store = RunStore.read(tmp_path / "run")
    assert store.recipe.editors["instruct_pix2pix"] == {"image_guidance": 1.5}
    assert store.manifest()["editors"]["instruct_pix2pix"]["prompted_by"] == "instruction"
    (record,) = store.records().values()
    assert (record["unet_rows_forward"], record["resolution"]) == (3, 64)
    # The same command with other weights goes on with nothing.
    config = folder / "scheduler" / "scheduler_config.json"
    before = config.read_text()
    config.write_text(json.dumps({**json.loads(before), "steps_offset": 1}))
    again = piebench(*asked[:-1], tmp_path / "run", "--limit", 2)
    config.write_text(before)
    assert again.returncode == 2 and "the files of the model" in again.stderr


def test_without_a_recipe_an_editor_has_its_own():
    recipe, _ = RunConfig(editors=["instruct_pix2pix"], data="x").build()
    assert (recipe.model, recipe.steps, recipe.guidance) == ("timbrooks/instruct-pix2pix", 100, 7.5)
    beside, _ = RunConfig(
        editors=["instruct_pix2pix"], inversions=["ddim"], methods=["p2p"], settings={"model": "m"}, data="x"
    ).build()
    assert (beside.model, beside.steps) == ("m", 50)
    with pytest.raises(PiebenchError, match=r"instruct-pix2pix of instruct_pix2pix.*choose one at a time"):
        RunConfig(editors=["instruct_pix2pix", "sdedit"], data="x").build()


def test_settings_that_a_pipeline_does_not_read_are_said_to_have_no_effect():
    chosen = {"model": "m", "posterior": "sample", "grey_levels": "round"}
    recipe, _ = RunConfig(editors=["instruct_pix2pix"], settings=chosen, data="x").build()
    (caution,) = cautions([recipe.combination(*pair) for pair in recipe.pairs])
    assert caution.startswith("instruct_pix2pix: posterior, grey_levels: has no effect")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--deterministic"], "--deterministic: is for models that inversions and methods edit with"),
        (["--set", "weights=int8"], "weights=int8: is for models"),
        (["--model", "nowhere/at/all"], "no such directory, and not a hub id"),
        (["--sequential-offload"], "by accelerate, which is not installed"),
        (["--offload-text-encoders"], "by accelerate, which is not installed"),
    ],
)
def test_what_does_not_go_with_a_pipeline_is_refused_at_once(
    monkeypatch, folder, photo_bench, tmp_path, options, problem
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = [] if "--model" in options else ["--model", folder]
    asked = ["run", *RECIPE, *SMALL, *model, *options, "--data", photo_bench, "--out", tmp_path / "r"]
    refused = piebench(*asked)
    assert refused.returncode == 2 and problem in " ".join(refused.stderr.split())
    assert not (tmp_path / "r").exists()
