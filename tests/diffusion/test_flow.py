"""Steps along a flow, and the loop with a solver of two evaluations per step."""

import math

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.ode import follow, sample_ode
from piebench_eval.diffusion.schedules import FlowSchedule, uniform_flow_schedule
from piebench_eval.diffusion.solvers import DETERMINISTIC, MIDPOINT
from piebench_eval.methods import METHODS
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_latents, encode_inputs
from piebench_eval.runs.forecast import count_evaluations
from tests.runs.test_combinations import SWITCHED_OFF

BLENDED, _, UNBLENDED, _ = range(4)
STEPS, GUIDANCE = 2, 1.5

ACTS = {
    "masactrl": {"start_step": 0, "start_layer": 4},
    "value_sharing": {"value_steps": 1.0, "first_layer": 0},
}
"""What makes a method inject something in so few steps of so small a model, where its defaults do not."""


def combination(method, settings=None, **fields):
    recipe = build_recipe(
        {
            "model": "unused",
            "family": "instaflow",
            "inversions": {"euler": {"solver": "midpoint"}},
            "methods": {method: settings or {}},
            "steps": STEPS,
            "guidance": GUIDANCE,
            **fields,
        },
        {},
        "test",
    )
    return recipe, recipe.combination("euler", method)


def slow_unless(*fast):
    """Every method; the solver knows none, so that the others repeat one with and one without control."""
    return [pytest.param(name, marks=[] if name in fast else pytest.mark.slow) for name in METHODS.names()]


def walked(solver, schedule, latents, *, upwards=False):
    """Where dx/dsigma = x leads, from the noise to the image or back."""
    for level in sorted(range(1, schedule.steps + 1), reverse=not upwards):
        time = schedule.timestep(level - 1)
        step = (
            solver.inverse(schedule, latents, level, time)
            if upwards
            else solver.step(schedule, latents, level)
        )
        latents, _ = follow(step, lambda at, time: at)
    return latents


@pytest.mark.parametrize(("solver", "order"), [(DETERMINISTIC, 1), (MIDPOINT, 2)], ids=["euler", "midpoint"])
@pytest.mark.parametrize("upwards", [False, True], ids=["sampling", "inversion"])
def test_solvers_have_their_order(solver, order, upwards):
    """Half the step divides the error by 2 to the order; the exact solution is e to the way in sigma."""
    start, exact = torch.ones(1, dtype=torch.float64), math.e if upwards else 1 / math.e
    coarse, fine = (
        abs(walked(solver, uniform_flow_schedule(steps), start, upwards=upwards).item() - exact)
        for steps in (32, 64)
    )
    assert coarse / fine == pytest.approx(2**order, rel=0.03)


@pytest.mark.parametrize("solver", [DETERMINISTIC, MIDPOINT], ids=["euler", "midpoint"])
def test_the_sign_of_the_velocity_is_the_schedules(solver):
    times, sigmas = (200.0, 1000.0), (0.0, 0.3, 1.0)
    start = torch.ones(1, dtype=torch.float64)
    towards_noise = walked(solver, FlowSchedule(times, sigmas), start)
    latents = start
    for level in (2, 1):
        step = solver.step(FlowSchedule(times, sigmas, "image"), latents, level)
        latents, _ = follow(step, lambda at, time: -at)
    assert torch.equal(towards_noise, latents)


def test_the_midpoint_rule_evaluates_halfway_between_levels():
    """At the mean of the levels' times, wherever these lie."""
    schedule = FlowSchedule((200.0, 1000.0), (0.0, 0.3, 1.0))
    asked = []

    def predict(at, time):
        asked.append(time)
        return at

    for level in (2, 1):
        follow(MIDPOINT.step(schedule, torch.ones(1), level), predict)
        follow(MIDPOINT.inverse(schedule, torch.ones(1), level, schedule.timestep(level - 1)), predict)
    assert asked == [1000.0, 600.0, 200.0, 600.0, 200.0, 100.0, 0, 100.0]


@torch.no_grad()
def test_sampling_by_the_midpoint_rule_written_out(instaflow, samples):
    inputs = encode_inputs(instaflow, samples[:2], 128)
    noise = torch.randn(inputs.latents.shape, generator=torch.Generator().manual_seed(0))
    texts = inputs.target_embeds, inputs.uncond_embeds
    schedule = uniform_flow_schedule(2, "image")
    found = sample_ode(instaflow, noise, *texts, schedule, Guidance(GUIDANCE), MIDPOINT)

    def velocity(at, time):
        cond, uncond = (instaflow.predict(at, time, text, range(2)) for text in texts)
        return guide(uncond, cond, GUIDANCE)

    middle = noise + velocity(noise, 1000.0) / 4
    one = noise + velocity(middle, 750.0) / 2
    other = one + velocity(one, 500.0) / 4
    end = one + velocity(other, 250.0) / 2
    for level, expected in enumerate((end, one, noise)):
        torch.testing.assert_close(found[level], expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(
    "method", [each for each in slow_unless("p2p", "plain") if each.values[0] in SWITCHED_OFF]
)
def test_two_evaluations_per_step_without_injection_are_plain_sampling(instaflow, samples, method):
    """And with it, they are not, unless the method injects nothing."""
    chosen = [samples[UNBLENDED]]
    _, off = combination(method, SWITCHED_OFF[method])
    edited, _ = edit_latents(instaflow, chosen, off)
    texts = [METHODS.get(method).prompts(samples[UNBLENDED], off.method_settings)]
    inputs = encode_inputs(instaflow, chosen, 128, texts)
    schedule = uniform_flow_schedule(STEPS, "image")
    source = inputs.inversion_embeds, inputs.uncond_embeds
    latents = inputs.latents
    for level in (1, 2):
        walk = MIDPOINT.inverse(schedule, latents, level, schedule.timestep(level))
        latents, _ = follow(walk, lambda at, time: instaflow.predict(at, time, source[0], [0]))
    target = inputs.target_embeds, inputs.negative_embeds
    expected = sample_ode(instaflow, latents, *target, schedule, Guidance(GUIDANCE), MIDPOINT)[0]
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=0)
    if any("joint" not in kinds for kinds in METHODS.get(method).attention):  # InstaFlow has no joint one
        _, on = combination(method, ACTS.get(method))
        assert (edit_latents(instaflow, chosen, on)[0] - edited).abs().max() > 1e-3


@pytest.mark.parametrize("method", slow_unless("p2p", "plain"))
def test_two_evaluations_per_step_are_planned_and_counted(instaflow, samples, method):
    """Of samples with and without a blend; each in a batch costs and gives what it does alone."""
    chosen = [samples[BLENDED], samples[UNBLENDED]]
    acts = {"start_step": 1, "start_layer": 4} if method == "masactrl" else {}
    recipe, both = combination(method, acts)
    instaflow.evaluations = EvaluationCounter()
    together, _ = edit_latents(instaflow, chosen, both)
    counted = dict(instaflow.evaluations.forward)
    foretold = count_evaluations(recipe, chosen)
    assert [cost.forward for cost in foretold.values()] == [counted[0], counted[1]]
    assert counted[0] >= 2 * STEPS + 2 * STEPS * 2  # the inversion, and a guided target
    for place, sample in enumerate(chosen):
        alone, _ = edit_latents(instaflow, [sample], both)
        torch.testing.assert_close(alone[0], together[place], atol=1e-4, rtol=0)


def test_guidance_one_needs_one_row(instaflow, samples):
    _, unguided = combination("plain", guidance=1, inversions={"euler": {}}, steps=3)
    instaflow.evaluations = EvaluationCounter()
    edit_latents(instaflow, samples[:1], unguided)
    assert instaflow.evaluations.forward[0] == 3 + 3
