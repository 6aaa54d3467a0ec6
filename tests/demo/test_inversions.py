"""What the inversions are for, on the demo's pictures."""

import pytest

from piebench_eval.cli.demo import DEMO_SAMPLES
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.selection import select_samples
from piebench_eval.demo.embedded import DEMO
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.builtin import DEMO_RECIPE
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.runs.batch_editing import encode_inputs
from tests.inversions.test_inversions import source_end


@pytest.fixture(scope="module")
def distances(quick_run):
    """How far from the picture each sample's source branch ends, sampled step by step at guidance 7.5."""
    recipe = build_recipe(read_recipe_fields(DEMO_RECIPE), {}, "demo")
    samples = select_samples(load_pie_bench(quick_run.folder / "benchmark"), limit=DEMO_SAMPLES)
    model = load_model(DEMO)
    schedule = ddim_schedule(model.alphas_cumprod, recipe.steps)
    inputs = encode_inputs(model, samples, model.native_resolution)
    found = {}
    for name in ("ddim", "null_text"):
        inverted = INVERSIONS.get(name).invert(model, inputs, schedule, recipe.inversions[name])
        end = source_end(model, inputs, schedule, inverted)
        found[name] = (end - inputs.latents).square().mean(dim=(1, 2, 3))
        if inverted.source_mode == "replayed":
            assert (end - inverted.trajectory[0]).abs().max() < 1e-3
    return found


@pytest.mark.slow  # tests/inversions/test_inversions.py shows it on two photographs
def test_null_text_ends_nearer_to_every_picture_than_ddim(distances):
    assert len(distances["ddim"]) == DEMO_SAMPLES
    assert (distances["null_text"] < distances["ddim"]).all(), distances
