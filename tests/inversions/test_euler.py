"""Inversions of a flow: its equation reversed, and what the others become on it."""

import dataclasses
from itertools import pairwise

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.diffusion.schedules import ddim_schedule, uniform_flow_schedule
from piebench_eval.diffusion.solvers import DETERMINISTIC, MIDPOINT
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs
from tests.support.sampling import step_along


@pytest.fixture(scope="module")
def inputs(instaflow, samples):
    return encode_inputs(instaflow, samples[:2], 128, guidance=Guidance(1.5))


def invert(name, model, inputs, schedule, **settings):
    entry = INVERSIONS.get(name)
    return entry.invert(model, inputs, schedule, entry.settings(**settings))


def flow(steps):
    return uniform_flow_schedule(steps, "image")


def source_velocity(model, inputs, latents, time):
    with torch.no_grad():
        return model.predict(latents, time, inputs.inversion_embeds, range(len(latents)))


def close(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("evaluate_at", "times"), [("next", (1000 / 3, 2000 / 3, 1000.0)), ("own", (0, 1000 / 3, 2000 / 3))]
)
def test_a_step_is_taken_back_along_the_velocity_of_the_latent_below(instaflow, inputs, evaluate_at, times):
    inverted = invert("euler", instaflow, inputs, flow(3), evaluate_at=evaluate_at)
    assert (inverted.source_mode, inverted.solver) == ("sampled", DETERMINISTIC)
    latents = inputs.latents
    for level, time in enumerate(times, 1):
        latents = latents - source_velocity(instaflow, inputs, latents, time) / 3
        close(inverted.trajectory[level], latents)


def test_guidance_of_the_inversion_is_its_own(instaflow, inputs):
    inverted = invert("euler", instaflow, inputs, flow(1), guidance=2)
    cond = source_velocity(instaflow, inputs, inputs.latents, 1000.0)
    with torch.no_grad():
        uncond = instaflow.predict(inputs.latents, 1000.0, inputs.uncond_embeds, range(2))
    close(inverted.trajectory[1], inputs.latents - guide(uncond, cond, 2))


def test_a_refinement_takes_the_velocity_where_sampling_would(instaflow, inputs):
    inverted = invert("euler", instaflow, inputs, flow(1), refinements=2)
    latents = inputs.latents
    for _ in range(3):
        latents = inputs.latents - source_velocity(instaflow, inputs, latents, 1000.0)
    close(inverted.trajectory[1], latents)


@pytest.mark.parametrize("evaluate_at", ["next", "own"])
def test_midpoint_inverts_by_the_rule_that_it_samples_with(instaflow, inputs, evaluate_at):
    inverted = invert("euler", instaflow, inputs, flow(1), solver="midpoint", evaluate_at=evaluate_at)
    assert inverted.solver is MIDPOINT
    z, first = inputs.latents, 1000.0 if evaluate_at == "next" else 0
    middle = z - source_velocity(instaflow, inputs, z, first) / 2
    close(inverted.trajectory[1], z - source_velocity(instaflow, inputs, middle, 500.0))
    refined = invert(
        "euler", instaflow, inputs, flow(1), solver="midpoint", evaluate_at=evaluate_at, refinements=1
    ).trajectory[1]
    start = inverted.trajectory[1]
    middle = start + source_velocity(instaflow, inputs, start, 1000.0) / 2
    close(refined, z - source_velocity(instaflow, inputs, middle, 500.0))


@pytest.mark.parametrize(
    "solver",
    ["euler", pytest.param("midpoint", marks=pytest.mark.slow)],  # whose refinement is compared above
)
@pytest.mark.parametrize("steps", [2, pytest.param(4, marks=pytest.mark.slow)])  # 4 repeats 2
def test_refinements_make_the_inversion_exact(instaflow, inputs, steps, solver):
    texts, errors = (inputs.source_embeds, inputs.uncond_embeds), []
    for refinements in (0, 3, 20):
        inverted = invert("euler", instaflow, inputs, flow(steps), refinements=refinements, solver=solver)
        again = sample_ode(
            instaflow, inverted.trajectory[-1], *texts, flow(steps), Guidance(1), inverted.solver
        )
        errors.append((again[0] - inputs.latents).square().mean().sqrt().item())
    assert errors[0] > 2 * errors[1] and errors[0] > 1e-3 and errors[2] < 1e-5


@pytest.mark.parametrize(("solver", "stages"), [("euler", 1), ("midpoint", 2)])
def test_evaluations_are_those_of_the_steps_and_their_refinements(instaflow, inputs, solver, stages):
    instaflow.evaluations = EvaluationCounter()
    invert("euler", instaflow, inputs, flow(4), refinements=3, solver=solver)
    assert instaflow.evaluations.forward == dict.fromkeys((0, 1), 4 * stages * (1 + 3))


def test_every_setting_is_told_apart_by_the_cache_and_the_trajectory_is_shared(instaflow, inputs):
    kinds = ({}, {"evaluate_at": "own"}, {"refinements": 1}, {"solver": "midpoint"}, {"guidance": 2})
    instaflow.cache = Cache({})
    try:
        found = [invert("euler", instaflow, inputs, flow(2), **kind).trajectory[-1] for kind in kinds]
        for kind, latents in zip(kinds, found, strict=True):
            assert torch.equal(invert("euler", instaflow, inputs, flow(2), **kind).trajectory[-1], latents)
        instaflow.evaluations = EvaluationCounter()
        shared = invert("direct", instaflow, inputs, flow(2), refinements=1)
        assert torch.equal(shared.trajectory[-1], found[2])
        assert instaflow.evaluations.reused[0] == instaflow.evaluations.forward[0] == 4
    finally:
        instaflow.cache = None
    for place, latents in enumerate(found):
        assert not any(torch.equal(latents, other) for other in found[place + 1 :])


@pytest.mark.parametrize("inversion", ["ddim", "direct", "null_text", "negative_prompt"])
def test_every_inversion_that_begins_with_the_trajectory_has_its_settings(model, samples, inversion):
    """Diffusion models have them too."""
    schedule = ddim_schedule(model.alphas_cumprod, 2)
    inputs = encode_inputs(model, samples[:1], 128)
    own = {"inner_steps": 0} if inversion == "null_text" else {}
    plain, other, refined = (
        invert(inversion, model, inputs, schedule, **own, **settings).trajectory[-1]
        for settings in ({}, {"evaluate_at": "own"}, {"refinements": 1})
    )
    assert not torch.equal(plain, other) and not torch.equal(plain, refined)
    expected = inputs.latents
    for level, time in enumerate(schedule.timesteps, 1):
        below = found = expected
        for _ in range(2):
            with torch.no_grad():
                output = model.predict(found, time, inputs.inversion_embeds, [0])
            found = schedule.inverse_step(below, output, level)
        expected = found
    close(refined, expected)


@pytest.mark.parametrize("steps", [1, 4])
def test_directs_source_ends_at_the_picture(instaflow, samples, inputs, steps):
    inverted = invert("direct", instaflow, inputs, flow(steps))
    method = METHODS.get("p2p")
    controller = method.prepare(samples[:2], instaflow, steps, method.settings()).controller
    sources = []
    controller.on_step_end = lambda step, source, target: sources.append(source) or target
    edit(instaflow, inputs, inverted, controller, flow(steps))
    assert torch.equal(sources[-1], inputs.latents) and len(sources) == steps


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_edit_friendly_retraces_its_levels_to_the_picture(instaflow, inputs, steps):
    """The last step's offset is not zero, as with diffusion, so that the source ends at the picture."""
    schedule = flow(steps)
    inverted = invert("edit_friendly", instaflow, inputs, schedule)
    assert inverted.steps == steps and all(offset.count_nonzero() for offset in inverted.offsets)
    assert torch.equal(inverted.trajectory[0], inputs.latents)
    latents = inverted.trajectory[-1]
    for level in reversed(range(1, steps + 1)):
        velocity = source_velocity(instaflow, inputs, latents, schedule.timestep(level))
        latents = step_along(inverted, schedule, latents, velocity, level)
        close(latents, inverted.trajectory[level - 1])
    # Each level is noised by a draw of its own.
    noises = [
        (inverted.trajectory[level] - (1 - level / steps) * inputs.latents) * steps / level
        for level in range(1, steps + 1)
    ]
    assert all((one - other).std() > 1 for one, other in pairwise(noises))
    assert all(abs(noise.std() - 1) < 0.1 for noise in noises)


@torch.no_grad()
def test_one_edit_friendly_step_is_flowedits(instaflow, samples, inputs):
    """The picture moves by the difference of both prompts' velocities at the noise (FlowEdit, equation 6)."""
    inverted = invert("edit_friendly", instaflow, inputs, flow(1))
    method = METHODS.get("plain")
    controller = method.prepare(samples[:2], instaflow, 1, method.settings()).controller
    edited = edit(instaflow, inputs, inverted, controller, flow(1))
    noise = inverted.trajectory[1]
    target, uncond = (
        instaflow.predict(noise, 1000.0, text, range(2))
        for text in (inputs.target_embeds, inputs.uncond_embeds)
    )
    difference = guide(uncond, target, 1.5) - source_velocity(instaflow, inputs, noise, 1000.0)
    close(edited, inputs.latents + difference)
    assert difference.std() > 0.01


def test_null_text_on_a_flow_ends_nearer_to_the_picture(instaflow, inputs):
    guided = dataclasses.replace(inputs, guidance=Guidance(4))
    ends = {
        inner: invert("null_text", instaflow, guided, flow(4), inner_steps=inner).trajectory[0]
        for inner in (0, 10)
    }
    far, near = ((ends[inner] - inputs.latents).square().mean(dim=(1, 2, 3)) for inner in (0, 10))
    assert (near < far).all()


def test_negative_prompt_leaves_a_flows_source_unguided(instaflow, inputs):
    inverted = invert("negative_prompt", instaflow, inputs, flow(2))
    assert all(step.equals(inputs.inversion_embeds) for step in inverted.uncond_embeds)
    assert torch.equal(inverted.trajectory, invert("euler", instaflow, inputs, flow(2)).trajectory)
