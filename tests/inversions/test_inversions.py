"""What defines each inversion, on the small model."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs
from tests.inversions.conftest import STEPS
from tests.support import sampling
from tests.support.sampling import step_along

GUIDANCE = 7.5


def invert(name, model, inputs, schedule, **settings):
    entry = INVERSIONS.get(name)
    return entry.invert(model, inputs, schedule, entry.settings(**settings))


@torch.no_grad()
def source_end(model, inputs, schedule, inverted, guidance=GUIDANCE):
    """Where the source branch ends if it takes its own steps all the way."""
    latents, everyone = inverted.trajectory[-1], range(len(inputs.latents))
    for level in reversed(range(1, inverted.steps + 1)):
        uncond = inputs.uncond_embeds if inverted.uncond_embeds is None else inverted.uncond_embeds[level - 1]
        timestep = schedule.timesteps[level - 1]
        cond = model.predict(latents, timestep, inputs.source_embeds, everyone)
        noise = guide(model.predict(latents, timestep, uncond, everyone), cond, guidance)
        latents = step_along(inverted, schedule, latents, noise, level)
    return latents


def distance_to_picture(inputs, latents):
    return (latents - inputs.latents).square().mean(dim=(1, 2, 3))


def test_null_text_brings_the_source_nearer_to_the_picture(model, inputs, schedule):
    ends = {
        name: source_end(model, inputs, schedule, invert(name, model, inputs, schedule, **settings))
        for name, settings in (("ddim", {}), ("null_text", {"inner_steps": 3}))
    }
    near, far = (distance_to_picture(inputs, ends[name]) for name in ("null_text", "ddim"))
    assert (near < far).all()


def test_a_sample_that_has_converged_costs_nothing_more(model, inputs, schedule):
    model.evaluations = EvaluationCounter()
    invert("null_text", model, inputs, schedule, stop_loss=1e9)
    assert model.evaluations.backward == {0: STEPS, 1: STEPS}
    assert model.evaluations.forward == {0: 4 * STEPS, 1: 4 * STEPS}
    model.evaluations = EvaluationCounter()
    invert("null_text", model, inputs, schedule, inner_steps=0)
    assert not model.evaluations.backward


@pytest.mark.slow  # and so in test_matrix.py
def test_null_text_in_a_batch_is_null_text_alone(model, samples, inputs, schedule):
    together = invert("null_text", model, inputs, schedule)
    for place, sample in enumerate(samples[:2]):
        alone = invert("null_text", model, encode_inputs(model, [sample], 128), schedule)
        torch.testing.assert_close(
            torch.stack([step.tokens[place] for step in together.uncond_embeds]),
            torch.stack([step.tokens[0] for step in alone.uncond_embeds]),
            atol=2e-2,
            rtol=0,
        )


def test_negative_prompt_leaves_the_source_unguided(model, inputs, schedule):
    inverted = invert("negative_prompt", model, inputs, schedule)
    guided = source_end(model, inputs, schedule, inverted)
    torch.testing.assert_close(guided, source_end(model, inputs, schedule, inverted, guidance=1.0))


def test_edit_friendly_retraces_its_noised_pictures(model, inputs, schedule):
    inverted = invert("edit_friendly", model, inputs, schedule)
    end = source_end(model, inputs, schedule, inverted, guidance=1.0)
    torch.testing.assert_close(end, sampling.source_end(inverted), atol=1e-4, rtol=0)
    assert inverted.offsets[0].count_nonzero() == 0
    assert all(noise.count_nonzero() for noise in inverted.offsets[1:])


# A dry run counts the rows of 50 steps, see test_combinations.py.
@pytest.mark.parametrize(
    ("steps", "kept"),
    [*(pytest.param(*many, marks=pytest.mark.slow) for many in ((50, 38), (20, 16))), (10, 8), (2, 2)],
)
def test_edit_friendly_skips_the_same_share_at_any_step_count(model, inputs, steps, kept):
    schedule = ddim_schedule(model.alphas_cumprod, steps)
    inverted = invert("edit_friendly", model, inputs, schedule)
    assert inverted.steps == kept
    assert invert("edit_friendly", model, inputs, schedule, skip=1).steps == steps - 1


def test_with_equal_prompts_and_no_guidance_edit_friendly_changes_nothing(model, samples, inputs, schedule):
    same = [
        type(sample)(**{**vars(sample), "marked_target_prompt": sample.marked_source_prompt})
        for sample in samples[:2]
    ]
    equal = encode_inputs(model, same, 128, guidance=Guidance(1.0))
    inverted = invert("edit_friendly", model, equal, schedule)
    method = METHODS.get("p2p")
    controller = method.prepare(same, model, STEPS, method.settings(blend_word_weight=1)).controller
    target = edit(model, equal, inverted, controller, schedule)
    torch.testing.assert_close(target, sampling.source_end(inverted), atol=1e-4, rtol=0)


def test_the_seed_alone_decides_edit_friendlys_noise(model, samples, schedule):
    def start(seed, chosen):
        inputs = encode_inputs(model, chosen, 128, seed=seed)
        return invert("edit_friendly", model, inputs, schedule).trajectory[-1]

    one = start(3, samples[:1])
    assert torch.equal(one, start(3, samples[:2])[:1])
    assert not torch.equal(one, start(4, samples[:1]))


@pytest.mark.parametrize(
    ("name", "settings"), [("null_text", {"inner_steps": 1, "stop_loss": 0}), ("direct", {"scale": 0.5})]
)
def test_a_cache_tells_guidance_scales_of_the_edit_apart(model, inputs, schedule, name, settings):
    """Both follow guided steps; the scale of the inversion is another setting of the same name."""
    model.cache = Cache({})
    try:
        found = [
            invert(
                name, model, dataclasses.replace(inputs, guidance=Guidance(guidance)), schedule, **settings
            )
            for guidance in (2.5, 7.5)
        ]
    finally:
        model.cache = None
    assert not torch.equal(found[0].trajectory, found[1].trajectory)
