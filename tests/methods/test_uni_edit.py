"""Uni-Edit: its mask and its velocity beside the published formula."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import uniform_flow_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.methods.uni_edit import UniEditController, UniEditSettings, edit_mask
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.packing import packed
from piebench_eval.runs.batch_editing import encode_inputs

STEPS = 2


def drawn(seed, shape=(2, 4, 3, 5)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["absolute", "signed"])
@given(seed=st.integers(0, 99), omega=st.floats(0, 8))
def test_the_velocity_is_the_published_one(kind, seed, omega):
    source, target = drawn(seed), drawn(seed + 1000)
    difference = target - source
    values = (difference.abs() if kind == "absolute" else difference).mean(dim=1, keepdim=True)
    for sample in range(2):
        mask = (values[sample] - values[sample].min()) / (values[sample].max() - values[sample].min())
        of_sample = (each[sample] for each in (source, target, difference))
        v_s, v_t, d = of_sample
        expected = mask * v_t + (1 - mask) * v_s + omega * (1 + mask) * d
        controller = UniEditController(2, UniEditSettings(omega=omega, mask=kind))
        found = source + controller.modify_target_guidance(difference)
        torch.testing.assert_close(found[sample], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["absolute", "signed"])
def test_the_mask_of_packed_latents_has_a_value_per_patch(kind):
    difference = drawn(0, (2, 4, 4, 6))
    mask = edit_mask(difference, kind, packing=2)
    assert mask.shape == (2, 1, 4, 6)
    tokens = packed(difference, 2)
    values = (tokens.abs() if kind == "absolute" else tokens).mean(dim=-1)
    low, high = (extreme(dim=1, keepdim=True) for extreme in (values.amin, values.amax))
    expected = (values - low) / (high - low)
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):  # the same in all of a patch
        found = mask[:, 0, place[0] :: 2, place[1] :: 2].flatten(1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["absolute", "signed"])
def test_the_mask_of_each_picture_is_from_0_to_1(kind):
    mask = edit_mask(drawn(0) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1), kind)
    assert mask.shape == (2, 1, 3, 5)
    for of_picture in mask:
        assert of_picture.min() == 0 and of_picture.max() == pytest.approx(1, abs=1e-5)


def edited(model, samples, inputs, **settings):
    entry, method = INVERSIONS.get("uni_inv"), METHODS.get("uni_edit")
    schedule = uniform_flow_schedule(STEPS, "image")
    inverted = entry.invert(model, inputs, schedule, entry.settings())
    controller = method.prepare(samples, model, STEPS, method.settings(**settings)).controller
    return edit(model, inputs, inverted, controller, schedule)


def test_equal_prompts_are_sampled_and_a_source_costs_no_row(instaflow, samples):
    """The published code divides zero by zero there."""
    chosen, method = samples[:1], METHODS.get("uni_edit")
    texts = [method.prompts(sample, method.settings()) for sample in chosen]
    assert texts[0].inversion == "" and texts[0].negative == texts[0].source == chosen[0].source_prompt
    inputs = encode_inputs(instaflow, chosen, 128, texts, guidance=Guidance(1.0))
    instaflow.evaluations = EvaluationCounter()
    found = edited(instaflow, chosen, inputs)
    assert instaflow.evaluations.forward[0] == (STEPS + 1) + 2 * STEPS
    same = dataclasses.replace(inputs, target_embeds=inputs.source_embeds)
    plain = edited(instaflow, chosen, same)
    assert plain.isfinite().all() and (plain - found).abs().max() > 1e-2
    # Along the one velocity that there is, no strength matters.
    torch.testing.assert_close(plain, edited(instaflow, chosen, same, omega=0.0), atol=1e-5, rtol=0)
