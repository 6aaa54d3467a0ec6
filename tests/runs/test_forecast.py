"""What a dry run foretells is what a run then counts."""

import pytest

from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS as REGISTRY
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.recipes.subset import select_combinations
from piebench_eval.runs.forecast import count_evaluations, forecast
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore, Scan
from piebench_eval.runs.store.records import EditKey
from tests.support.runs import run

INVERSIONS = ["ddim", "edit_friendly", "negative_prompt", "direct"]
METHODS = ["p2p", "masactrl", "pnp", "proximal"]


@pytest.fixture(scope="module")
def recipe(tiny_model):
    fields = {"model": str(tiny_model), "inversions": INVERSIONS, "methods": METHODS, "steps": 4}
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
