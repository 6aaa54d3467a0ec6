"""The sigmas of Stable Diffusion 3, compared with diffusers' scheduler."""

import numpy as np
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler

from piebench_eval.diffusion.schedules import shifted_flow_schedule


@pytest.mark.parametrize("shift", [1.0, 3.0, 1.5])
@pytest.mark.parametrize("steps", [1, 2, 5, 28, 50, 999])
def test_sigmas_and_times_are_the_schedulers(steps, shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(steps)
    schedule = shifted_flow_schedule(steps, shift)
    np.testing.assert_allclose(schedule.sigmas[::-1], scheduler.sigmas, atol=1e-6, rtol=0)
    np.testing.assert_allclose(schedule.timesteps[::-1], scheduler.timesteps, atol=1e-3, rtol=0)
    assert schedule.steps == steps and schedule.towards == "noise"
    assert schedule.sigmas[0] == 0 and schedule.sigmas[-1] == 1


def test_the_smallest_sigma_is_shifted_twice():
    assert shifted_flow_schedule(28, 3.0).timesteps[0] == pytest.approx(8.9286, abs=1e-4)
