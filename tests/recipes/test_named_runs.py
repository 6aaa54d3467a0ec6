"""Recipe files that name several runs: what holds for all, what for one, and what is refused."""

from pathlib import Path

import pytest
import yaml

from piebench_eval.combination_names import combination_name
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.recipe import read_recipe_fields
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.recipes.sweep import RUN_AXIS, folder_name, parse_axes, plan_sweep
from piebench_eval.runs.store.paths import SWEEP_FILE
from piebench_eval.runs.store.sweep_folder import check_sweep_folder, read_sweep, write_sweep
from tests.support.recipes import shipped

OWN = {"model": "a/b", "inversions": {"ddim": {"guidance": 3}}, "methods": ["p2p"], "steps": 30}


def config(tmp_path, fields, **options):
    """The configuration of a file of runs, with the recipe own.yaml beside it."""
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN))
    file = tmp_path / "runs.yaml"
    file.write_text(yaml.safe_dump(fields, sort_keys=False))
    return RunConfig(file, "data", **options)


def plan(run_config):
    return plan_sweep(
        run_config.axes, run_config.settings, lambda settings: run_config.build(settings)[0], "runs.yaml"
    )


def test_fields_of_all_then_of_a_run_then_of_the_command_line_come_before_the_recipe(tmp_path):
    fields = {
        "steps": 20,
        "quirks": {"noise_on_device": True},
        "runs": {
            "plain": {"recipe": "own.yaml"},
            "other": {"recipe": "own.yaml", "steps": 10, "inversion": {"guidance": 2}, "seed": 1},
            "of-the-package": {"recipe": "flowalign-sd3", "seed": 2},
        },
    }
    sweep, recipes = plan(config(tmp_path, fields, settings={"seed": 7}))
    assert [run.folder for run in sweep.runs] == list(fields["runs"])
    assert [recipe.steps for recipe in recipes] == [20, 10, 20]
    assert [recipe.seed for recipe in recipes] == [7, 7, 7]
    assert [recipe.inversions["ddim"].guidance for recipe in recipes[:2]] == [3, 2]
    # A quirk is added to those of the run's recipe, and takes none of them away.
    assert recipes[2].quirks.noise_on_device and recipes[2].quirks.pixel_overflow == "min_max"


def test_named_runs_can_be_swept_too_and_some_be_chosen(tmp_path):
    both = config(tmp_path, {"runs": {"a": {"recipe": "own.yaml"}, "b": {"recipe": "own.yaml", "seed": 1}}})
    build = lambda settings: both.build(settings)[0]  # noqa: E731
    sweep, recipes = plan_sweep({**both.axes, "steps": [4, 5]}, (), build)
    assert [run.folder for run in sweep.runs] == ["a,steps=4", "a,steps=5", "b,steps=4", "b,steps=5"]
    assert [recipe.steps for recipe in recipes] == [4, 5, 4, 5]
    (chosen, _) = plan_sweep({**both.axes, RUN_AXIS: ["b"]}, (), build)
    assert [run.folder for run in chosen.runs] == ["b"]
    numbered = config(tmp_path, {"runs": {1: {"recipe": "own.yaml"}}})
    (of_digits, _) = plan_sweep(parse_axes(["run=1"]), (), lambda settings: numbered.build(settings)[0])
    write_sweep(of_digits, tmp_path / "some")
    assert [run.folder for run in read_sweep(tmp_path / "some").runs] == ["1"]
    with pytest.raises(PiebenchError, match=r"run c: .*names a, b"):
        plan_sweep({RUN_AXIS: ["c"]}, (), build)
    with pytest.raises(PiebenchError, match=r"--sweep run: .* has no run c"):
        plan_sweep({RUN_AXIS: ["c"]}, (), build)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"runs": {}}, "must be a mapping of names"),
        ({"runs": ["a"]}, "must be a mapping of names"),
        ({"runs": {"a": None}}, "runs.a: names no recipe"),
        ({"runs": {"a": {"steps": 3}}}, "runs.a: names no recipe"),
        ({"runs": {"../a": {"recipe": "own.yaml"}}}, r"runs\.\.\./a: becomes a folder's name"),
        ({"runs": {"cache": {"recipe": "own.yaml"}}}, "runs.cache: becomes"),
        ({"runs": {"a": {"recipe": "nowhere.yaml"}}}, r"run a: recipe nowhere\.yaml: .*no such file"),
        ({"runs": {"a": {"recipe": "runs.yaml"}}}, "run a: .* has runs itself"),
        ({"runs": {"a": {"recipe": "own.yaml", "step": 3}}}, "run a: --set step: no such field"),
        ({"runs": {"a": {"recipe": "own.yaml", "steps": 0}}}, "run a: .*steps"),
        ({"runs": {"a": {"recipe": "own.yaml"}}, "methods": ["pnp"]}, "methods: cannot stand beside runs"),
        ({"runs": {"a": {"recipe": "own.yaml"}, "b": {"recipe": "own.yaml"}}}, "have the same recipe"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_runs(tmp_path, fields, words):
    with pytest.raises(PiebenchError, match=words):
        plan(config(tmp_path, fields))


def test_what_cannot_hold_for_all_runs_is_refused(tmp_path):
    runs = {"runs": {"a": {"recipe": "own.yaml"}}}
    with pytest.raises(PiebenchError, match=r"--method pnp: every run of .* has its own"):
        plan(config(tmp_path, runs, methods=["pnp"]))
    with pytest.raises(PiebenchError, match=r"names several runs \(a\)"):
        config(tmp_path, runs).build()
    with pytest.raises(PiebenchError, match=r"sweeps seed, in runs which piebench run makes"):
        config(tmp_path, {"sweep": {"seed": [1, 2]}}).build()


def test_the_folder_is_a_sweeps_and_a_name_stays_below_it(tmp_path):
    runs = {"a": {"recipe": "own.yaml"}, "b": {"recipe": "own.yaml", "seed": 1}}
    sweep, _ = plan(config(tmp_path, {"runs": runs}))
    write_sweep(sweep, tmp_path)
    assert read_sweep(tmp_path) == sweep
    more, _ = plan(config(tmp_path, {"runs": {**runs, "c": {"recipe": "own.yaml", "seed": 2}}}))
    check_sweep_folder(more, tmp_path)
    file = tmp_path / SWEEP_FILE
    assert folder_name({RUN_AXIS: ".."}) == ".."
    file.write_text(file.read_text().replace("folder: a", "folder: ..").replace("run: a", "run: .."))
    with pytest.raises(PiebenchError, match="is damaged"):
        read_sweep(tmp_path)


def test_the_papers_systems_are_their_recipes():
    named = RunConfig(Path("paper-systems"), "data")
    recipes = {name: named.build({RUN_AXIS: name})[0] for name in named.runs}
    assert all(shipped(name).hash == recipe.hash for name, recipe in recipes.items())
    combinations = {combination_name(*pair) for recipe in recipes.values() for pair in recipe.pairs}
    of_edict, of_pix2pix_zero = ["edict+plain", "edict+p2p"], ["ddim+pix2pix_zero", "direct+pix2pix_zero"]
    assert combinations > {*of_edict, *of_pix2pix_zero, "blended_latent_diffusion", "stylediffusion+p2p"}


@pytest.mark.parametrize("name", ["edict", "pix2pix-zero"])
def test_a_recipe_of_these_spells_out_what_the_scripts_do(name):
    """Every setting of its inversions and methods stands in it, but those of the blend, which is off."""
    fields, recipe = read_recipe_fields(recipe_file(name)), shipped(name)
    of_blend = {"blend_start", "blend_threshold", "blend_downsampling"}
    for section in ("inversions", "methods"):
        for entry, settings in getattr(recipe, section).items():
            unsaid = set(type(settings).model_fields) - {"quirks", *fields[section][entry]}
            assert unsaid == (of_blend if entry == "p2p" else set())


def test_the_flow_table_has_the_recipes_settings():
    """Each run is its recipe but for the model, the precision and the size, so that its comments are true."""
    named = RunConfig(Path("flow-table"), "data")
    found = {name: named.build({RUN_AXIS: name})[0] for name in named.runs}
    changed = {
        name: {line.partition(":")[0] for line in shipped(str(run.config)).differences(found[name])}
        for name, run in named.runs.items()
    }
    of_flux = ("flowedit", "rf-solver-edit", "fireflow", "uniedit", "rf-inversion", "dnaedit")
    of_sd3 = ("flowedit", "uniedit", "flowalign", "dnaedit")
    assert list(changed) == [*(f"{name}-flux" for name in of_flux), *(f"{name}-sd3.5" for name in of_sd3)]
    assert changed.pop("rf-inversion-flux") == {"precision", "resolution"}
    assert changed.pop("dnaedit-sd3.5") == {"precision", "family"}
    for name, fields in changed.items():
        assert fields == ({"precision"} if name.endswith("flux") else {"precision", "family", "model"})
    assert {recipe.model for recipe in found.values()} == {
        "black-forest-labs/FLUX.1-dev",
        "stabilityai/stable-diffusion-3.5-medium",
    }
    assert {recipe.resolution for recipe in found.values()} == {None, 512}  # None: pictures keep their size
