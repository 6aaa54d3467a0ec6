"""SDEdit on the models that the package loads."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.data.images import load_image
from piebench_eval.diffusion.guidance import guide
from piebench_eval.errors import PiebenchError
from piebench_eval.models.families import FAMILIES
from piebench_eval.models.packing import packed
from piebench_eval.recipes.compatibility import require_fitting_editors
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from piebench_eval.runs.forecast import count_evaluations

STEPS, STRENGTH, GUIDANCE, SEED = 4, 0.7, 3.5, 1234

AS_DIFFUSERS = {"posterior": "sample", "grey_levels": "round"}
"""The pipelines sample the posterior, by the generator that then draws the noise, and round grey levels."""

DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
"""Stable Diffusion's DDIM, which recipes sample with; in its folder a model may have another scheduler."""


@pytest.fixture(scope="module")
def folder_of(request):
    return lambda family: request.getfixturevalue("tiny_model" if family == "sd1" else f"tiny_{family}")


def recipe_of(folder, fields=None, **settings):
    common = {"model": str(folder), "editors": {"sdedit": settings}, "steps": STEPS, "resolution": 128}
    return build_recipe({**common, "guidance": GUIDANCE, **(fields or {})}, {}, "test")


def edited_by_hand(folder, pipeline, sample):
    """Latents and picture that a pipeline of diffusers makes, called as its documentation does."""
    pipe = getattr(diffusers, pipeline).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    if "StableDiffusionImg" in pipeline or "XL" in pipeline:
        pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **DDIM)
    kept = {}
    (picture,) = pipe(
        prompt=sample.target_prompt,
        image=Image.fromarray(load_image(sample.file, 128)),
        strength=STRENGTH,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator().manual_seed(SEED),
        callback_on_step_end=lambda pipe, step, time, tensors: kept.update(tensors) or {},
        **({"height": 128, "width": 128} if "Flux" in pipeline else {}),  # it has a size of its own
    ).images
    return kept["latents"], np.asarray(picture)


@pytest.mark.parametrize(
    ("family", "pipeline", "taken"),
    [
        ("sd1", "StableDiffusionImg2ImgPipeline", 2),
        ("sdxl", "StableDiffusionXLImg2ImgPipeline", 2),
        ("lcm", "LatentConsistencyModelImg2ImgPipeline", 4),
        ("sd3", "StableDiffusion3Img2ImgPipeline", 3),
        ("flux", "FluxImg2ImgPipeline", 3),
    ],
)
def test_it_is_the_pipeline_of_diffusers(model_of, folder_of, samples, family, pipeline, taken):
    recipe = recipe_of(folder_of(family), AS_DIFFUSERS, strength=STRENGTH)
    (edited,) = edit_batch(model_of(family), samples[:1], recipe.combination("", "sdedit"))
    latents, picture = edited_by_hand(folder_of(family), pipeline, samples[0])
    ours = packed(edited.latents[None], 2) if family == "flux" else edited.latents[None]
    torch.testing.assert_close(ours, latents, rtol=1e-5, atol=1e-5 * latents.abs().max().item())
    difference = np.abs(edited.image.astype(int) - picture)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
    (planned,) = count_evaluations(recipe, samples[:1]).values()
    rows = 1 if FAMILIES[family].guidance == "embedded" else 2
    assert edited.nfe_forward == planned.forward == rows * taken


@pytest.mark.parametrize(
    ("family", "strength", "taken"),
    [("sd1", 0.5, 2), ("sd1", 0.74, 2), ("sd1", 1.0, 4), ("instaflow", 0.74, 2)],
)
def test_the_picture_is_noised_to_a_level_and_sampled_from_there(
    model_of, folder_of, samples, family, strength, taken
):
    model, recipe = model_of(family), recipe_of(folder_of(family), strength=strength)
    combination = recipe.combination("", "sdedit")
    (edited,) = edit_batch(model, samples[:1], combination)
    with torch.no_grad():
        inputs = encode_inputs(model, samples[:1], 128)
        schedule = plan_schedule(model, combination.common)
        noise = torch.randn(inputs.latents.shape, generator=torch.Generator().manual_seed(SEED))
        latents = schedule.noised(inputs.latents, noise, taken)
        for level in range(taken, 0, -1):
            rows = inputs.uncond_embeds, inputs.target_embeds
            uncond, cond = (model.predict(latents, schedule.timestep(level), row, [0]) for row in rows)
            latents = schedule.step(latents, guide(uncond, cond, GUIDANCE), level)
    torch.testing.assert_close(edited.latents[None], latents, atol=1e-4, rtol=1e-4)
    assert edited.nfe_forward == 2 * taken
    (planned,) = count_evaluations(recipe, samples[:1]).values()
    assert (planned.forward, planned.backward) == (2 * taken, 0)


def test_timesteps_of_a_recipe_are_cut(model_of, folder_of, samples):
    recipe = recipe_of(folder_of("lcm"), {"timesteps": [999, 779, 499, 139]}, strength=STRENGTH)
    (edited,) = edit_batch(model_of("lcm"), samples[:1], recipe.combination("", "sdedit"))
    (planned,) = count_evaluations(recipe, samples[:1]).values()
    assert edited.nfe_forward == planned.forward == 2


def test_too_few_timesteps_are_refused(model_of, folder_of, samples):
    combination = recipe_of(folder_of("lcm"), strength=0.06).combination("", "sdedit")
    with pytest.raises(PiebenchError, match=r"leaves 3 of the 50 timesteps of LCM .* at least 0\.08"):
        require_fitting_editors([combination])
    with pytest.raises(PiebenchError, match="leaves 3"):  # where the family is known by its weights alone
        edit_batch(model_of("lcm"), samples[:1], combination)


def test_another_seed_is_another_picture(model, tiny_model, samples):
    recipe = recipe_of(tiny_model)
    first, again = (
        edit_batch(model, samples[:1], recipe.combination("", "sdedit"))[0].image for _ in range(2)
    )
    other = build_recipe(dict(recipe), {"seed": 1}, "test").combination("", "sdedit")
    assert (first == again).all() and (first != edit_batch(model, samples[:1], other)[0].image).any()
