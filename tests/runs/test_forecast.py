"""What a dry run foretells is what a run then counts."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from piebench_eval.cli.forecast import model_notes
from piebench_eval.demo.embedded import DEMO
from piebench_eval.diffusion.solvers import MIDPOINT
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS as REGISTRY
from piebench_eval.models.cache import Cache
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.batch_editing import edit_latents
from piebench_eval.runs.forecast import count_evaluations, forecast
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore, Scan
from piebench_eval.runs.store.records import EditKey
from piebench_eval.runs.worker import Worker
from tests.support.commands import piebench
from tests.support.pairs import goes_with
from tests.support.runs import run

INVERSIONS = ["ddim", "edit_friendly", "negative_prompt", "direct"]
METHODS = ["p2p", "masactrl", "pnp", "proximal"]


@pytest.fixture(scope="module")
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": INVERSIONS, "methods": METHODS, "steps": 3}
    return build_recipe(fields, {}, "test")


def test_every_edit_costs_the_foretold_rows(recipe, photo_bench, samples, tmp_path):
    with_and_without_a_blend = [samples[0], samples[2]]
    selection = Selection(ids=tuple(sample.id for sample in with_and_without_a_blend))
    run(recipe, photo_bench, tmp_path, selection, batch_size=1)
    records = RunStore.read(tmp_path).records()
    foretold = count_evaluations(recipe, with_and_without_a_blend)
    assert len(records) == len(foretold) == 32
    for key, record in records.items():
        cost = foretold[EditKey(*key)]
        counted = [record[f"unet_rows_{kind}"] for kind in ("forward", "backward", "reused")]
        assert [cost.forward, cost.backward, cost.reused] == counted, key


def reused_by(recipe, targets):
    """Evaluations that each edit of a worker's reuses, one sample after another."""
    worker = Worker(WorkerSpec(MachineOptions(), "cpu", None, 1, None, "s"), recipe, "w")
    return {
        outcome.key: outcome.record["unet_rows_reused"]
        for group in plan_jobs(recipe, targets, batch_size=1)
        for job in group.jobs
        for outcome in worker.run(group.model, job)
    }


def test_the_targets_of_a_picture_are_foretold_one_inversion(tiny_model, samples):
    fields = {"model": str(tiny_model), "inversions": ["direct", "edit_friendly"], "methods": ["p2p", "pnp"]}
    recipe = build_recipe({**fields, "steps": 2}, {}, "test")
    targets = [*(replace(samples[0], id=name) for name in "abc"), samples[1]]
    foretold = count_evaluations(recipe, targets)
    assert {key: cost.reused for key, cost in foretold.items()} == reused_by(recipe, targets)
    first, second = (foretold[EditKey("direct", "p2p", sample)] for sample in "ab")
    assert (first.reused, second.reused) == (0, first.source)


@pytest.mark.parametrize("words", [["astronaut cat", "", "astronaut cat", ""], ["", "astronaut cat", ""]])
def test_a_target_finds_what_earlier_ones_have_left(tiny_model, samples, words):
    """A blend reads the source in all steps: nothing is evaluated beforehand, nor left for later targets."""
    fields = {"model": str(tiny_model), "inversions": ["edit_friendly"], "methods": ["p2p"], "steps": 4}
    recipe = build_recipe(fields, {}, "test")
    targets = [replace(samples[0], id=str(place), blended_word=of) for place, of in enumerate(words)]
    reused = {key: cost.reused for key, cost in count_evaluations(recipe, targets).items()}
    assert reused == reused_by(recipe, targets)
    assert len(set(reused.values())) == 2


REPRESENTATIVE = {
    "direct+p2p": {},
    "direct+plain": {"guidance": 1.0},
    "ddim+pnp": {},  # whose source branch has the empty prompt
    "ddim+p2p": {"source_guidance": 1.0},
    "direct+masactrl": {"method": {"start_step": 1, "start_layer": 5}},
    "null_text+p2p": {},
    "negative_prompt+proximal": {},
    "edit_friendly+plain": {},
    "edict+p2p": {},
    "ddim+pix2pix_zero": {},
}
NEVER_STOPS = {"null_text": {"inner_steps": 1, "stop_loss": 0, "stop_loss_growth": 0}}


def recipe_of_family(model, family):
    """The representative combinations that go with a family."""
    pairs = {name: own for name, own in REPRESENTATIVE.items() if goes_with(family, *name.split("+"))}
    inversions = dict.fromkeys(name.split("+")[0] for name in pairs)
    fields = {
        "model": str(model),
        "steps": 3,
        "inversions": {name: NEVER_STOPS.get(name, {}) for name in inversions},
        "methods": list(dict.fromkeys(name.split("+")[1] for name in pairs)),
        "combinations": pairs,
    }
    return build_recipe(fields, {}, "test")


def taken(model, recipe, sample):
    """Forward, backward and reused evaluations of each combination's edit, one after another."""
    model.cache = Cache({"model": recipe.model})
    try:
        counts = {}
        for pair in recipe.pairs:
            model.evaluations = EvaluationCounter()
            edit_latents(model, [sample], recipe.combination(*pair))
            found = model.evaluations
            counts[pair] = found.forward[0], found.backward[0], found.reused[0]
        return counts
    finally:
        model.cache = None


def foretold(recipe, sample):
    costs = count_evaluations(recipe, [sample])
    return {key[:2]: (cost.forward, cost.backward, cost.reused) for key, cost in costs.items()}


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "sd1"])
def test_edits_of_every_family_take_the_foretold_evaluations(model_of, request, samples, family):
    recipe = recipe_of_family(request.getfixturevalue(f"tiny_{family}"), family)
    assert taken(model_of(family), recipe, samples[0]) == foretold(recipe, samples[0])


@pytest.mark.parametrize("zeros", [True, False])
def test_an_sdxl_whose_unconditional_rows_have_the_empty_prompt(tiny_sdxl, samples, tmp_path, zeros):
    """Then Plug-and-Play's source branch, whose prompt is empty too, needs one row less."""
    folder = shutil.copytree(tiny_sdxl, tmp_path / "model")
    index = folder / "model_index.json"
    said = {**json.loads(index.read_text()), "force_zeros_for_empty_prompt": zeros}
    index.write_text(json.dumps(said))
    fields = {"model": str(folder), "inversions": ["ddim"], "methods": ["pnp"], "steps": 2}
    recipe = build_recipe(fields, {"method.feature_steps": 1}, "test")
    assert taken(load_model(str(folder)), recipe, samples[0]) == foretold(recipe, samples[0])
    assert foretold(recipe, samples[0])["ddim", "pnp"][0] == 2 + 2 * 2 + (1 + zeros) + 1


def test_models_of_several_families_in_one_recipe(tiny_model, tiny_sdxl, tiny_lcm, samples):
    """Each combination is counted as its own model's."""
    fields = {
        "model": str(tiny_model),
        "inversions": ["ddim", "direct"],
        "methods": ["pnp", "plain"],
        "steps": 2,
        "combinations": {
            "ddim+pnp": {},
            "direct+pnp": {"model": str(tiny_lcm)},
            "ddim+plain": {"model": str(tiny_sdxl)},
            "direct+plain": {"model": str(tiny_lcm)},
        },
    }
    of_all = foretold(build_recipe(fields, {}, "test"), samples[0])
    assert {"+".join(pair): forward for pair, (forward, *_) in of_all.items()} == {
        "ddim+pnp": 2 + 2 * 2 + 1,  # in the first of two steps a source row
        "direct+pnp": 2 + 2 + 1,
        "ddim+plain": 2 + 2 * 2,
        "direct+plain": 2 + 2,
    }
    reused = {"+".join(pair) for pair, (*_, reused) in of_all.items() if reused}
    assert reused == {"direct+plain"}  # of the same model alone


def test_a_model_that_is_not_here_is_counted_as_said(photo_bench, tmp_path):
    command = ["run", "--data", photo_bench, "--model", "nobody/nothing", "--inversion", "ddim"]
    command += ["--method", "pnp", "--steps", "2", "--set", "method.feature_steps=1"]
    command += ["--out", tmp_path / "run", "--dry-run", "--json"]
    unknown, told = piebench(*command), piebench(*command, "--set", "family=sdxl")
    assert "--model nobody/nothing: is not on this machine, and counted as Stable Diffusion 1.x" in " ".join(
        unknown.stderr.split()
    )
    assert not told.stderr
    rows = [json.loads(done.stdout)["plan"][0]["rows_forward"] for done in (unknown, told)]
    assert rows[0] < rows[1]  # Plug-and-Play's empty prompt is no unconditional row of SDXL's


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("black-forest-labs/FLUX.1-schnell", "FLUX.1"),
        ("stabilityai/stable-diffusion-3.5-medium", "Stable Diffusion 3"),
        ("stabilityai/sdxl-turbo", "Stable Diffusion XL"),
        ("XCLiu/instaflow_0_9B_from_sd_1_5", "InstaFlow"),
    ],
)
def test_a_well_known_model_that_is_not_here_is_counted_by_its_name(model, family, capsys):
    recipe = build_recipe({"model": model, "inversions": ["direct"], "methods": ["plain"]}, {}, "test")
    told = f"--model {model}: is not on this machine, and counted as {family} by its name"
    assert model_notes([SimpleNamespace(recipe=recipe)]) == [told] and not capsys.readouterr().err
    assert model_notes([SimpleNamespace(recipe=recipe.model_copy(update={"family": "sd3"}))]) == []


def test_the_dry_run_tells_that_it_goes_by_the_name(photo_bench, tmp_path):
    command = ["run", "--data", photo_bench, "--config", "flowedit-flux", "--out", tmp_path / "run"]
    dry = piebench(*command, "--dry-run")
    assert dry.returncode == 0 and "counted as" not in dry.stderr, dry.stderr
    assert "FLUX.1-dev: is not on this machine, and counted as FLUX.1 by its name" in dry.stdout


def test_a_solver_of_two_stages_is_counted_twice(tiny_instaflow, model_of, samples, monkeypatch):
    def invert(model, inputs, schedule, settings):
        found = REGISTRY.get("direct").invert(model, inputs, schedule, settings)
        return replace(found, solver=MIDPOINT)

    halves = replace(REGISTRY.get("direct"), invert=invert)
    monkeypatch.setattr(REGISTRY, "_plugins", {"halves": (halves, "plugin")})
    fields = {"model": str(tiny_instaflow), "inversions": ["halves"], "methods": ["pnp", "plain"], "steps": 2}
    recipe = build_recipe(fields, {}, "test")
    counts = taken(model_of("instaflow"), recipe, samples[0])
    assert counts == foretold(recipe, samples[0])
    assert counts["halves", "plain"][0] == 2 + 2 * 2 * 2


@pytest.mark.parametrize(
    "own",
    [
        {"posterior": "sample"},
        {"resolution": 64},
        {"quirks": {"noise_on_device": True}},
        {"quirks": {"added_shift": True}},
        {"guidance": 3.0},
    ],
)
def test_other_pictures_and_other_noise_are_not_shared(tiny_sd3, model_of, samples, own):
    """But sources at other scales of the target are."""
    fields = {
        "model": str(tiny_sd3),
        "inversions": ["flowedit"],
        "methods": ["plain", "value_sharing"],
        "combinations": {"flowedit+plain": {}, "flowedit+value_sharing": own},
        "steps": 2,
        "resolution": 128,
        "source_guidance": 1.5,
    }
    recipe = build_recipe(fields, {}, "test")
    counts = taken(model_of("sd3"), recipe, samples[0])
    assert counts == foretold(recipe, samples[0])
    assert bool(counts["flowedit", "value_sharing"][-1]) == ("guidance" in own)


def test_an_optimisation_counts_as_if_it_never_stopped_early(tiny_model, samples):
    fields = {"model": str(tiny_model), "inversions": ["null_text"], "methods": ["p2p"], "steps": 4}
    recipe = build_recipe(fields, {"inversion.inner_steps": 3}, "test")
    (with_blend, *_) = count_evaluations(recipe, samples).values()
    # Inversion, two fixed rows per step and three differentiated ones, and the edit's three rows per step.
    assert (with_blend.forward, with_blend.backward) == (4 + 4 * (2 + 3) + 4 * 3, 4 * 3)


def test_the_papers_costs_are_those_of_the_readme(samples):
    for name, rows in (("direct+masactrl", 196), ("direct+pnp", 190), ("ddim+pnp", 240)):
        inversion, method = name.split("+")
        fields = select_combinations(
            read_recipe_fields(DEMO_RECIPE.with_name("table1.yaml")), [inversion], [method], "table1"
        )
        recipe = build_recipe(fields, {"model": DEMO}, "table1")
        assert {cost.total for cost in count_evaluations(recipe, samples).values()} == {rows}, name


def test_an_inversion_that_needs_the_unet_itself_is_named(tiny_model, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(REGISTRY, "_plugins", {})
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "from piebench_eval.inversions.base import Inversion\n"
        "from piebench_eval.settings import Settings\n"
        "def invert(model, inputs, schedule, settings):\n"
        "    return inputs.latents * model.unet.config.sample_size\n"
        "INVERSIONS = {'own': Inversion('Own', 'yours', '', Settings, invert)}\n"
    )
    fields = {"model": str(tiny_model), "inversions": ["own"], "methods": ["p2p"], "plugins": [str(plugin)]}
    with pytest.raises(PiebenchError) as caught:
        count_evaluations(build_recipe(fields, {}, "test"), samples)
    said = str(caught.value)
    assert f"plugin {plugin}: failed in own+p2p" in said and "own.py, line 4" in said
    assert "a dummy model, which has no UNet (.config was read)" in said and "model.predict" in said


def record(seconds):
    return {"seconds": seconds, "unet_rows_forward": 10, "unet_rows_backward": 0, "unet_rows_reused": 0}


def test_time_follows_the_pace_of_the_records(recipe, samples):
    keys = [job.key(s) for group in plan_jobs(recipe, samples, 4) for job in group.jobs for s in job.wanted]
    assert all(part.seconds is None for part in forecast(recipe, samples, Scan(missing=keys)))
    own, others = EditKey("ddim", "p2p", samples[0].id), EditKey("direct", "pnp", samples[0].id)
    done = {own: record(20), others: record(5)}
    parts = forecast(recipe, samples, Scan(done, missing=[key for key in keys if key not in done]))
    by_name = {part.combination: part for part in parts}
    assert (by_name["ddim+p2p"].done, by_name["ddim+p2p"].missing) == (1, 3)
    assert by_name["ddim+p2p"].seconds == pytest.approx(2 * by_name["ddim+p2p"].nfe_to_compute)
    # Without a record of its own, a combination goes at the pace of all.
    assert by_name["ddim+pnp"].seconds == pytest.approx(1.25 * by_name["ddim+pnp"].nfe_to_compute)
