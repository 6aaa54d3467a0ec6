"""Every solver beside its equation, written out, and how its error falls with the size of its steps."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.diffusion.schedules import DDIMSchedule, FlowSchedule, uniform_flow_schedule
from piebench_eval.diffusion.solvers import ANCESTRAL, CONSISTENCY, DETERMINISTIC, MIDPOINT

SHARE = st.floats(0.02, 0.98)


def follow(solver, schedule, latents, level, output):
    """The latents of the level below, and the model's times on the way; ``output(latents, time)``."""
    walk, times = solver.step(schedule, latents, level), []
    at, time = next(walk)
    while True:
        times.append(time)
        try:
            at, time = walk.send(output(at, time))
        except StopIteration as end:
            assert len(times) == solver.stages
            return end.value, times


def drawn(seed):
    """Latents and what a model may say of them, in double precision."""
    return torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def ddim(one, other):
    """A schedule of one step between two cumulative alphas, and both, the noisier first."""
    a, b = sorted((one, other))
    return DDIMSchedule((700,), (b, a)), a, b


@given(st.integers(0, 99), SHARE, SHARE)
def test_deterministic_along_ddim(seed, one, other):
    """Song et al., ICLR 2021, equation 12 with eta 0."""
    schedule, a, b = ddim(one, other)
    x, e = drawn(seed)
    found, times = follow(DETERMINISTIC, schedule, x, 1, lambda *_: e)
    image = (x - math.sqrt(1 - a) * e) / math.sqrt(a)
    close(found, math.sqrt(b) * image + math.sqrt(1 - b) * e)
    assert times == [700]


@given(st.integers(0, 99), SHARE, SHARE)
def test_ancestral_is_the_mean_of_ddpms_posterior(seed, one, other):
    """Ho et al., 2020, equation 7: a mean of the image and the latents."""
    schedule, a, b = ddim(one, other)
    x, e = drawn(seed)
    found, times = follow(ANCESTRAL, schedule, x, 1, lambda *_: e)
    image, ratio = (x - math.sqrt(1 - a) * e) / math.sqrt(a), a / b
    posterior = math.sqrt(b) * (1 - ratio) / (1 - a) * image + math.sqrt(ratio) * (1 - b) / (1 - a) * x
    torch.testing.assert_close(found, posterior, rtol=1e-6, atol=1e-6)
    assert times == [700]


@given(st.integers(0, 99), SHARE)
def test_ancestral_to_the_picture_itself_is_the_predicted_image(seed, a):
    x, e = drawn(seed)
    found, _ = follow(ANCESTRAL, DDIMSchedule((700,), (1.0, a)), x, 1, lambda *_: e)
    close(found, (x - math.sqrt(1 - a) * e) / math.sqrt(a))


@given(st.integers(0, 99), SHARE, SHARE)
def test_consistency_is_the_predicted_image_at_the_next_levels_signal(seed, one, other):
    """Luo et al., LCM, 2023, algorithm 3, without its noise."""
    schedule, a, b = ddim(one, other)
    x, e = drawn(seed)
    found, _ = follow(CONSISTENCY, schedule, x, 1, lambda *_: e)
    close(found, math.sqrt(b) * (x - math.sqrt(1 - a) * e) / math.sqrt(a))
    flow = FlowSchedule((1000 * one,), (one * other, one))
    found, _ = follow(CONSISTENCY, flow, x, 1, lambda *_: e)
    close(found, (1 - one * other) * (x - one * e))


@pytest.mark.parametrize(("towards", "sign"), [("noise", 1), ("image", -1)])
@given(seed=st.integers(0, 99), sigma=SHARE, share=SHARE)
def test_deterministic_and_midpoint_along_a_flow(towards, sign, seed, sigma, share):
    """x + D v(x, t), and x + D v(x + D/2 v(x, t), t + D/2), with D < 0 where v points to the noise."""
    below = sigma * share
    schedule = FlowSchedule((0.25, 1000 * below, 1000 * sigma), (0.0, 0.01, below, sigma), towards)
    x, matrix = drawn(seed)[0], drawn(seed)[1, :, :3]

    def velocity(latents, time):
        return matrix @ latents + time / 1000

    way, time, middle = sign * (below - sigma), 1000 * sigma, 500 * (sigma + below)
    found, times = follow(DETERMINISTIC, schedule, x, 3, velocity)
    close(found, x + way * velocity(x, time))
    assert times == [time]
    found, times = follow(MIDPOINT, schedule, x, 3, velocity)
    close(found, x + way * velocity(x + way / 2 * velocity(x, time), middle))
    assert times == pytest.approx([time, middle])


@pytest.mark.parametrize("towards", ["noise", "image"])
@pytest.mark.parametrize(("solver", "order"), [(DETERMINISTIC, 1), (MIDPOINT, 2)], ids=["Euler", "midpoint"])
def test_halving_the_steps_divides_the_error_by_two_to_the_order(solver, order, towards):
    """On dx / d sigma = sigma A x, with A = diag(1, -2): x(0) = exp(-A / 2) x(1)."""
    rates = torch.tensor([1.0, -2.0], dtype=torch.float64)
    noise = torch.tensor([0.7, -1.3], dtype=torch.float64)

    def velocity(latents, time):
        return (1 if towards == "noise" else -1) * time / 1000 * rates * latents

    def error(steps):
        schedule, latents = uniform_flow_schedule(steps, towards), noise
        for level in range(steps, 0, -1):
            latents, _ = follow(solver, schedule, latents, level, velocity)
        return (latents - torch.exp(-rates / 2) * noise).norm().item()

    for coarse, fine in pairwise([error(steps) for steps in (16, 32, 64)]):
        assert coarse / fine == pytest.approx(2**order, rel=0.1)
