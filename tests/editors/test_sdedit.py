"""SDEdit on the models that the package loads."""

import pytest
import torch

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.diffusion.guidance import guide
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from piebench_eval.runs.forecast import count_evaluations

STEPS = 4


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(str(tiny_model))


@pytest.fixture(scope="module")
def samples(photo_bench):
    return load_pie_bench(photo_bench)[:1]


def combination_of(tiny_model, **settings):
    fields = {"model": str(tiny_model), "editors": {"sdedit": settings}, "steps": STEPS, "resolution": 128}
    return build_recipe(fields, {}, "test")


@pytest.mark.parametrize(("strength", "taken"), [(0.5, 2), (0.74, 2), (1.0, 4)])
def test_the_picture_is_noised_to_a_level_and_sampled_from_there(model, samples, tiny_model, strength, taken):
    recipe = combination_of(tiny_model, strength=strength)
    combination = recipe.combination("", "sdedit")
    (edited,) = edit_batch(model, samples, combination)
    with torch.no_grad():
        inputs = encode_inputs(model, samples, 128)
        schedule = plan_schedule(model, combination.common)
        noise = torch.randn(inputs.latents.shape, generator=torch.Generator().manual_seed(1234))
        latents = schedule.noised(inputs.latents, noise, taken)
        for level in range(taken, 0, -1):
            rows = inputs.uncond_embeds, inputs.target_embeds
            uncond, cond = (model.predict(latents, schedule.timestep(level), row, [0]) for row in rows)
            latents = schedule.step(latents, guide(uncond, cond, 7.5), level)
    torch.testing.assert_close(edited.latents[None], latents, atol=1e-4, rtol=1e-4)
    assert edited.nfe_forward == 2 * taken
    (planned,) = count_evaluations(recipe, samples).values()
    assert (planned.forward, planned.backward) == (2 * taken, 0)


def test_another_seed_is_another_picture(model, samples, tiny_model):
    recipe = combination_of(tiny_model)
    first, again = (edit_batch(model, samples, recipe.combination("", "sdedit"))[0].image for _ in range(2))
    other = build_recipe(dict(recipe), {"seed": 1}, "test").combination("", "sdedit")
    assert (first == again).all() and (first != edit_batch(model, samples, other)[0].image).any()
    model.evaluations = EvaluationCounter()
