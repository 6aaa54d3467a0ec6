"""DDCM, the virtual inversion of InfEdit: as its equations have it, and what it costs."""

import dataclasses

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import ddim_schedule, lcm_schedule, uniform_flow_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs
from tests.support.tiny_model import save_tiny_instaflow

STEPS = 5
GUIDANCE = Guidance(2.3, source=1.0)


@pytest.fixture(scope="module")
def schedule(model):
    return lcm_schedule(model.alphas_cumprod, STEPS)


@pytest.fixture(scope="module")
def inputs(model, samples):
    return encode_inputs(model, samples[:2], 128, guidance=GUIDANCE)


def invert(model, inputs, schedule):
    entry = INVERSIONS.get("ddcm")
    return entry.invert(model, inputs, schedule, entry.settings())


def plainly_edited(model, samples, inputs, schedule):
    method = METHODS.get("plain")
    controller = method.prepare(samples, model, schedule.steps, method.settings()).controller
    return edit(model, inputs, invert(model, inputs, schedule), controller, schedule)


@torch.no_grad()
def virtually_edited(model, inputs, schedule):
    """The target by InfEdit's own equations: its prediction corrected by the source's error."""
    *noises, start = drawn_noise(inputs, schedule.steps)
    noises, z0, everyone = [None, *noises], inputs.latents, range(len(inputs.latents))
    x = x_s = start
    for level in reversed(range(1, schedule.steps + 1)):
        a, b, time = schedule.alphas[level], schedule.alphas[level - 1], schedule.timestep(level)
        e_s = model.predict(x_s, time, inputs.source_embeds, everyone)
        texts = inputs.uncond_embeds, inputs.target_embeds
        e = guide(*(model.predict(x, time, text, everyone) for text in texts), GUIDANCE.target)
        clean = z0 + ((x - x_s) - (1 - a) ** 0.5 * (e - e_s)) / a**0.5
        if level == 1:
            return clean
        x, x_s = (b**0.5 * image + (1 - b) ** 0.5 * noises[level - 1] for image in (clean, z0))
    raise AssertionError("level 1 is the last")


def test_an_edit_is_by_infedits_equations(model, samples, inputs, schedule):
    found = plainly_edited(model, samples[:2], inputs, schedule)
    expected = virtually_edited(model, inputs, schedule)
    assert (expected - inputs.latents).abs().max() > 1
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_the_source_is_the_noised_picture_and_starts_from_noise(model, inputs, schedule):
    inverted = invert(model, inputs, schedule)
    *noises, start = drawn_noise(inputs, STEPS)
    assert inverted.source_mode == "fixed" and inverted.solver.name == "consistency"
    assert torch.equal(inverted.trajectory[0], inputs.latents)
    assert torch.equal(inverted.trajectory[-1], start)
    for level, noise in enumerate(noises, 1):
        assert torch.equal(inverted.trajectory[level], schedule.noised(inputs.latents, noise, level))


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("plain", {}),
        ("p2p", {"blend_word_weight": 1}),
        pytest.param("masactrl", {"source_prompt": "sample"}, marks=pytest.mark.slow),
    ],
)
def test_with_equal_prompts_and_scales_the_picture_stays(model, samples, method, fields):
    same = [dataclasses.replace(one, marked_target_prompt=one.marked_source_prompt) for one in samples[:2]]
    entry = METHODS.get(method)
    chosen = entry.settings(**fields)
    schedule = ddim_schedule(model.alphas_cumprod, STEPS)
    texts = [entry.prompts(one, chosen) for one in same]
    inputs = encode_inputs(model, same, 128, texts, guidance=Guidance(1.0))
    controller = entry.prepare(same, model, STEPS, chosen).controller
    found = edit(model, inputs, invert(model, inputs, schedule), controller, schedule)
    torch.testing.assert_close(found, inputs.latents, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("scale", "rows"), [(1.0, STEPS), (3.0, 2 * STEPS)])
def test_the_sources_scale_is_its_own(model, inputs, schedule, scale, rows):
    model.evaluations = EvaluationCounter()
    inverted = invert(model, dataclasses.replace(inputs, guidance=Guidance(2.3, source=scale)), schedule)
    assert inverted.offsets is not None
    assert model.evaluations.forward == {0: rows, 1: rows}


def test_a_cache_tells_scales_and_seeds_apart(model, inputs, schedule):
    model.cache = Cache({})
    try:
        first = invert(model, inputs, schedule).offsets
        guided = invert(
            model, dataclasses.replace(inputs, guidance=Guidance(2.3, source=3.0)), schedule
        ).offsets
        seeded = invert(model, dataclasses.replace(inputs, seed=5), schedule).offsets
        model.evaluations = EvaluationCounter()
        other_target = dataclasses.replace(inputs, guidance=Guidance(7.5, source=1.0))
        again = invert(model, other_target, schedule).offsets
    finally:
        model.cache = None
    assert not torch.equal(first, guided) and not torch.equal(first, seeded)
    assert torch.equal(first, again)
    assert model.evaluations.reused == model.evaluations.forward == {0: STEPS, 1: STEPS}


def test_along_a_flow_too(samples, tmp_path):
    model = load_model(str(save_tiny_instaflow(tmp_path)))
    schedule = uniform_flow_schedule(STEPS, model.family.velocity)
    same = [dataclasses.replace(samples[0], marked_target_prompt=samples[0].marked_source_prompt)]
    inputs = encode_inputs(model, same, 128, guidance=Guidance(1.0))
    torch.testing.assert_close(
        plainly_edited(model, same, inputs, schedule), inputs.latents, atol=1e-4, rtol=0
    )
    other = encode_inputs(model, samples[:1], 128, guidance=Guidance(1.0))
    assert (plainly_edited(model, samples[:1], other, schedule) - inputs.latents).abs().max() > 1e-2
