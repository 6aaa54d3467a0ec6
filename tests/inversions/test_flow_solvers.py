"""Solvers of a flow's equation beside their published loops, written out: latents and evaluations."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.schedules import FlowSchedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.uni_inv import UniInvSettings, problem
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs

SIGMAS = (0.0, 0.05, 0.4, 0.7, 1.0)
SCHEDULE = FlowSchedule(tuple(1000 * sigma for sigma in SIGMAS[1:]), SIGMAS, "image")
STEPS = len(SIGMAS) - 1


@pytest.fixture(scope="module")
def inputs(instaflow, samples):
    return encode_inputs(instaflow, samples[:2], 128, guidance=Guidance(1.5))


@pytest.fixture(autouse=True)
def counted(instaflow):
    instaflow.evaluations = EvaluationCounter()


def invert(name, model, inputs, **settings):
    entry = INVERSIONS.get(name)
    return entry.invert(model, inputs, SCHEDULE, entry.settings(**settings))


@torch.no_grad()
def velocity(model, text, latents, sigma):
    """Towards the noise, as the papers have it; InstaFlow's points to the image."""
    return -model.predict(latents, 1000 * sigma, text, range(len(latents)))


def midpoint(v, latents, a, b, kept):
    first = v(latents, a)
    return latents + (b - a) * v(latents + (b - a) / 2 * first, (a + b) / 2), None


def reusing(v, latents, a, b, kept):
    kept = v(latents, a) if kept is None else kept
    middle = v(latents + (b - a) / 2 * kept, (a + b) / 2)
    return latents + (b - a) * middle, middle


def predicted(v, latents, a, b, kept, zero=False):
    if kept is None:
        kept = 0 if zero else v(latents, a)
    found = v(latents + (b - a) * kept, b)
    return latents + (b - a) * found, found


def walk(step, v, latents, sigmas):
    trajectory, kept = [latents], None
    for a, b in pairwise(sigmas):
        latents, kept = step(v, latents, a, b, kept)
        trajectory.append(latents)
    return torch.stack(trajectory)


def euler(v, latents, a, b, kept):
    return latents + (b - a) * v(latents, a), None


SOLVERS = {
    # inversion: its settings, a step up, a step down, evaluations up and down for so many steps
    "rf_solver": ({}, midpoint, midpoint, 2 * STEPS, 2 * STEPS),
    "fireflow": ({}, reusing, reusing, STEPS + 1, STEPS + 1),
    "uni_inv": ({}, predicted, euler, STEPS + 1, STEPS),
    "uni_inv from zero": ({"zero_start": True}, partial(predicted, zero=True), euler, STEPS, STEPS),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_up_and_down_as_published(instaflow, samples, inputs, name):
    """The source prompt upwards without guidance, the target prompt down from there, without it too."""
    settings, up, down, evaluations_up, evaluations_down = SOLVERS[name]
    inverted = invert(name.split()[0], instaflow, inputs, **settings)
    assert inverted.source_mode == "sampled"
    assert instaflow.evaluations.forward == dict.fromkeys((0, 1), evaluations_up)
    of_source = partial(velocity, instaflow, inputs.inversion_embeds)
    torch.testing.assert_close(
        inverted.trajectory, walk(up, of_source, inputs.latents, SIGMAS), atol=1e-5, rtol=0
    )
    unguided = encode_inputs(instaflow, samples[:2], 128, guidance=Guidance(1.0))
    instaflow.evaluations = EvaluationCounter()
    method = METHODS.get("plain")
    controller = method.prepare(samples[:2], instaflow, STEPS, method.settings()).controller
    edited = edit(instaflow, unguided, inverted, controller, SCHEDULE)
    assert instaflow.evaluations.forward == dict.fromkeys((0, 1), evaluations_down)
    of_target = partial(velocity, instaflow, inputs.target_embeds)
    expected = walk(down, of_target, inverted.trajectory[-1], SIGMAS[::-1])[-1]
    torch.testing.assert_close(edited, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("solver", "start_step"),
    [
        *((solver, 2) for solver in ("euler", "midpoint", "fireflow", "uni_inv")),
        ("fireflow", 0),
        *(pytest.param(solver, 0, marks=pytest.mark.slow) for solver in ("euler", "midpoint", "uni_inv")),
    ],
)
def test_direct_fixes_the_source_whatever_the_solver(instaflow, samples, inputs, solver, start_step):
    """A source that is read between levels follows its own output there, from the step before on too."""
    inverted = invert("direct", instaflow, inputs, solver=solver, evaluate_at="own")
    method = METHODS.get("masactrl")
    settings = method.settings(start_step=start_step, start_layer=2, source_prompt="sample")
    controller = method.prepare(samples[:2], instaflow, STEPS, settings).controller
    sources, asked = [], []
    controller.on_step_end = lambda step, source, target: sources.append(source) or target
    predict = instaflow.predict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            instaflow, "predict", lambda at, *rest: asked.append((at, rest[0])) or predict(at, *rest)
        )
        edit(instaflow, inputs, inverted, controller, SCHEDULE)
    for source, level in zip(sources, inverted.trajectory[:-1].flip(0), strict=True):
        assert torch.equal(source, level)
    if solver == "fireflow":
        expected = where_fireflow_asks(partial(guided_source, instaflow, inputs), inverted.trajectory)
        at, _ = asked[-1]
        for sample in expected:
            assert min((row - sample).abs().max() for row in at) < 1e-5


def guided_source(model, inputs, latents, sigma):
    cond, uncond = (
        velocity(model, text, latents, sigma) for text in (inputs.source_embeds, inputs.uncond_embeds)
    )
    return uncond + inputs.guidance.of_source * (cond - uncond)


def where_fireflow_asks(v, trajectory):
    """Where the velocity of the last step is found for a source that is set to a trajectory."""
    kept = v(trajectory[-1], SIGMAS[-1])
    for level in range(STEPS, 0, -1):
        a, b = SIGMAS[level], SIGMAS[level - 1]
        at = trajectory[level] + (b - a) / 2 * kept
        kept = v(at, (a + b) / 2)
    return at


@pytest.mark.parametrize("solver", [pytest.param("midpoint", marks=pytest.mark.slow), "fireflow"])
def test_what_a_solver_keeps_does_not_depend_on_who_else_is_in_the_batch(instaflow, samples, inputs, solver):
    method = METHODS.get("masactrl")
    settings = method.settings(start_step=1, start_layer=2, source_prompt="sample")

    def edited(chosen):
        of_chosen = encode_inputs(instaflow, chosen, 128, guidance=Guidance(1.5))
        inverted = invert("direct", instaflow, of_chosen, solver=solver)
        controller = method.prepare(chosen, instaflow, STEPS, settings).controller
        return edit(instaflow, of_chosen, inverted, controller, SCHEDULE)

    together = edited(samples[:2])
    for place in (0, 1):
        torch.testing.assert_close(together[place], edited([samples[place]])[0], atol=1e-4, rtol=0)


def test_alpha_is_the_share_that_is_inverted_and_sampled(instaflow, inputs):
    whole = invert("uni_inv", instaflow, inputs)
    part = invert("uni_inv", instaflow, inputs, alpha=0.5)
    assert part.steps == 2 and torch.equal(part.trajectory, whole.trajectory[:3])
    assert instaflow.evaluations.forward[0] == (STEPS + 1) + 3


@pytest.mark.parametrize(
    ("alpha", "steps", "nearest", "down"), [(0.6, 8, 5, 4), (0.75, 10, 8, 7), (0.5, 5, 2, 2), (0.6, 15, 9, 9)]
)
def test_alpha_rounds_as_either_published_code(alpha, steps, nearest, down):
    """To the nearest whole number, and of two to the even one; or down."""
    from piebench_eval.inversions.uni_inv import inverted_steps

    assert inverted_steps(steps, UniInvSettings(alpha=alpha)) == nearest
    assert inverted_steps(steps, UniInvSettings(alpha=alpha, alpha_rounds="down")) == down


def test_an_alpha_that_leaves_no_step_is_refused(instaflow, inputs):
    assert "alpha=0.1: leaves none of 4 steps" in problem(4, UniInvSettings(alpha=0.1))
    with pytest.raises(PiebenchError, match="leaves none of 4 steps"):
        invert("uni_inv", instaflow, inputs, alpha=0.1)


def test_fireflow_has_no_refinements():
    with pytest.raises(ValueError, match="set refinements=0"):
        INVERSIONS.get("direct").settings(solver="fireflow", refinements=1)


def test_solvers_are_told_apart_by_the_cache(instaflow, inputs):
    kinds = [("rf_solver", {}), ("fireflow", {}), ("uni_inv", {}), ("uni_inv", {"zero_start": True})]
    kinds += [("rf_solver", {"guidance": 2}), ("uni_inv", {"alpha": 0.5})]
    instaflow.cache = Cache({})
    try:
        found = [invert(name, instaflow, inputs, **settings).trajectory for name, settings in kinds]
        again = [invert(name, instaflow, inputs, **settings).trajectory for name, settings in kinds]
        assert all(map(torch.equal, found, again))
        for place, latents in enumerate(found):
            others = [other for other in found[place + 1 :] if len(other) == len(latents)]
            assert not any(torch.equal(latents, other) for other in others)
        before = instaflow.evaluations.reused[0]
        direct = invert("direct", instaflow, inputs, solver="fireflow", evaluate_at="own")
        assert torch.equal(direct.trajectory, found[1])
        assert instaflow.evaluations.reused[0] == before + STEPS + 1
    finally:
        instaflow.cache = None


@pytest.mark.parametrize("solver", [pytest.param("midpoint", marks=pytest.mark.slow), "fireflow"])
def test_directs_ablations_step_by_its_solver(instaflow, inputs, solver):
    """Without any offset, the source takes the solver's own guided steps."""
    step = {"midpoint": midpoint, "fireflow": reusing}[solver]
    inverted = invert("direct", instaflow, inputs, solver=solver, scale=0.0)
    expected = walk(
        step, partial(guided_source, instaflow, inputs), inverted.trajectory[-1], SIGMAS[::-1]
    ).flip(0)
    torch.testing.assert_close(inverted.trajectory, expected, atol=1e-5, rtol=0)
