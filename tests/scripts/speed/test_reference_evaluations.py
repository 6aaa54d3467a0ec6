"""The reference's cost, as it was counted."""

from pathlib import Path

import pandas as pd
import pytest

from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.recipes.run_config import RunConfig
from scripts.speed.evaluations import recipes_of
from scripts.speed.flows import FLOW_SIZES
from scripts.speed.pace import BENCH_SIZES
from scripts.speed.reference_evaluations import FLOW_EVALUATIONS, PASSES, reference_evaluations
from scripts.speed.samples import save_samples
from tests.support.recipes import shipped

NAMES = {
    "null-text-inversion": "null_text",
    "negative-prompt-inversion": "negative_prompt",
    "edit-friendly-inversion": "edit_friendly",
    "directinversion": "direct",
    "proximal-guidance": "proximal",
}
SKIPPED = {10: 2, 50: 12}


@pytest.fixture(scope="module")
def counted(golden):
    """What was counted, under our names."""
    table = pd.read_csv(golden / "official_cost.csv").set_index("method")
    return table.rename(lambda name: "+".join(NAMES.get(part, part) for part in name.split("+")))


def paper(steps, **overrides):
    return shipped("paper", {"steps": steps, **overrides})


def rows_of_all(steps):
    """Every combination's rows, forward and backward, by name."""
    recipe = paper(steps)
    for name in PASSES:
        combination = recipe.combination(*name.split("+"))
        skipped = SKIPPED[steps] if combination.inversion == "edit_friendly" else 0
        yield name, reference_evaluations(combination, skipped)


@pytest.mark.golden
def test_ten_steps_are_as_counted(counted):
    for name, rows in rows_of_all(10):
        expected = counted.loc[name, ["unet_samples_N10", "of_which_with_backward_N10"]]
        assert rows == tuple(map(int, expected)), name
    assert {*PASSES, "direct+p2p_guidance_25_75"} == set(counted.index)


@pytest.mark.golden
def test_fifty_steps_are_as_counted(counted):
    for name, (forward, backward) in rows_of_all(50):
        expected = counted.loc[name, "unet_samples_N50"]
        at_most = "<=1000 (500 + K, K<=500)" if name.startswith("null_text") else None
        assert (expected if at_most else int(expected)) == (at_most or forward), name
        assert (forward, backward) == ((1000, 500) if at_most else (forward, 0))


@pytest.mark.golden
def test_a_guided_inversion_costs_two_rows_a_step(counted):
    combination = paper(50, **{"inversion.guidance": 2.5}).combination("direct", "p2p")
    expected = int(counted.loc["direct+p2p_guidance_25_75", "unet_samples_N50"])
    assert reference_evaluations(combination) == (expected, 0) == (700, 0)


def test_what_the_reference_lacks_has_no_cost():
    recipe = build_recipe({"model": "demo", "inversions": ["null_text"], "methods": ["pnp"]}, {}, "test")
    assert reference_evaluations(recipe.combination("null_text", "pnp")) is None


def test_every_run_of_the_flow_table_has_its_authors_cost():
    assert FLOW_EVALUATIONS.keys() == set(RunConfig(Path("flow-table"), "any").runs)


@pytest.mark.slow
def test_no_flow_recipe_costs_more_than_its_authors_code(tmp_path):
    samples = save_samples(tmp_path, 1, 64)
    models = [model for model, size in BENCH_SIZES.items() if size in FLOW_SIZES]
    ours = {name: cost for model in models for name, cost in recipes_of(model, samples).items()}
    assert ours.keys() == FLOW_EVALUATIONS.keys()
    dearer = {name: cost for name, cost in ours.items() if cost > FLOW_EVALUATIONS[name]}
    assert not dearer
