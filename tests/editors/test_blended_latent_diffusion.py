"""Blended latent diffusion on the models that the package loads; its numbers are in tests/golden."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from piebench_eval.data.masks import encode_rle
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.diffusion.guidance import guide
from piebench_eval.editors import EDITORS
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_schedule
from piebench_eval.runs.forecast import count_evaluations

STEPS, TAKEN, NAME = 4, 3, "blended_latent_diffusion"


@pytest.fixture(scope="module")
def samples(photo_bench):
    """Two samples, with a part of the left upper quarter masked."""
    found = load_pie_bench(photo_bench)[:2]
    mask = np.zeros((128, 128), dtype=bool)
    mask[10:50, 16:62] = True
    return [replace(sample, mask_rle=tuple(encode_rle(mask))) for sample in found]


@pytest.fixture(scope="module")
def combination(tiny_model):
    fields = {"model": str(tiny_model), "editors": [NAME], "steps": STEPS, "resolution": 128}
    return build_recipe(fields, {}, "test").combination("", NAME)


@pytest.fixture(scope="module")
def edited(model, samples, combination):
    return edit_batch(model, samples, combination)


@torch.no_grad()
def by_hand(model, sample, common):
    """The published loop: one draw to begin with, another in each step for what is around the mask."""
    inputs = encode_inputs(model, [sample], 128)
    schedule, generator = plan_schedule(model, common), torch.Generator().manual_seed(1234)
    shape = inputs.latents.shape
    mask = torch.zeros(1, 1, 16, 16)
    mask[:, :, 1:6, 2:8] = 1  # the latents whose centres, pixels 4, 12, 20, ..., are masked
    latents = torch.randn(shape, generator=generator)
    for level in range(TAKEN, 0, -1):
        rows = inputs.uncond_embeds, inputs.target_embeds
        uncond, cond = (model.predict(latents, schedule.timestep(level), row, [0]) for row in rows)
        latents = schedule.step(latents, guide(uncond, cond, 7.5), level)
        around = schedule.noised(inputs.latents, torch.randn(shape, generator=generator), level)
        latents = mask * latents + (1 - mask) * around
    return latents


def test_the_masked_part_is_sampled_and_the_rest_is_the_noised_picture(model, samples, combination, edited):
    for sample, edit in zip(samples, edited, strict=True):
        wanted = by_hand(model, sample, combination.common)
        torch.testing.assert_close(edit.latents[None], wanted, atol=1e-4, rtol=1e-4)


def test_a_sample_alone_is_the_sample_in_a_batch(model, samples, combination, edited):
    (alone,) = edit_batch(model, samples[1:], combination)
    torch.testing.assert_close(alone.latents, edited[1].latents, atol=1e-4, rtol=1e-4)


def test_it_says_what_it_costs_and_that_it_is_told_where_to_edit(samples, combination, edited):
    fields = dict(combination.common) | {"editors": [NAME]}
    (planned,) = count_evaluations(build_recipe(fields, {}, "test"), samples[:1]).values()
    assert planned.forward == edited[0].nfe_forward == 2 * TAKEN
    editor = EDITORS.get(NAME)
    assert (editor.masks, editor.prompted_by) == ("benchmark", "target prompt")
