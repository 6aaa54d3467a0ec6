import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import invert_ode
from piebench_eval.diffusion.schedules import ddim_schedule, ddim_step
from piebench_eval.runs.batch_editing import encode_inputs
from scripts.demo_training.unet import sd_scheduler

ALPHA = st.floats(0.01, 0.999)


@pytest.fixture(scope="module")
def scheduler():
    return sd_scheduler()


@pytest.mark.parametrize("steps", [1, 10, 30, 50, 999])
def test_schedule_is_that_of_diffusers(scheduler, steps):
    schedule = ddim_schedule(scheduler.alphas_cumprod, steps)
    scheduler.set_timesteps(steps)
    assert list(schedule.timesteps[::-1]) == scheduler.timesteps.tolist()
    assert schedule.alphas[0] == scheduler.final_alpha_cumprod
    assert all(a > b for a, b in zip(schedule.alphas[1:], schedule.alphas[2:], strict=False))


def test_step_is_that_of_diffusers(scheduler):
    schedule = ddim_schedule(scheduler.alphas_cumprod, 10)
    scheduler.set_timesteps(10)
    x, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    for level in (10, 5, 1):
        expected = scheduler.step(noise, schedule.timesteps[level - 1], x).prev_sample
        step = ddim_step(x, noise, schedule.alphas[level], schedule.alphas[level - 1])
        torch.testing.assert_close(step, expected, atol=1e-5, rtol=1e-5)


def test_timesteps_and_noised_latents_of_a_level_are_those_of_diffusers(scheduler):
    schedule = ddim_schedule(scheduler.alphas_cumprod, 10)
    x, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    for level in (10, 5, 1):
        assert schedule.timestep(level) == schedule.timesteps[level - 1]
        expected = scheduler.add_noise(x, noise, torch.tensor(schedule.timestep(level)))
        torch.testing.assert_close(schedule.noised(x, noise, level), expected, atol=1e-5, rtol=1e-5)


@given(ALPHA, ALPHA)
def test_a_step_there_and_back_with_the_same_noise_is_no_step(alpha, other):
    generator = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 16, dtype=torch.float64, generator=generator)
    there = ddim_step(x, noise, alpha, other)
    torch.testing.assert_close(ddim_step(there, noise, other, alpha), x)


def test_inversion_spends_a_row_per_step_and_two_when_guided(model, samples):
    from piebench_eval.models.nfe import EvaluationCounter

    inputs = encode_inputs(model, samples[:2], 128)
    schedule = ddim_schedule(model.alphas_cumprod, 5)
    for guidance, rows in ((1.0, 5), (2.5, 10)):
        model.evaluations = EvaluationCounter()
        trajectory = invert_ode(
            model, inputs.latents, inputs.source_embeds, inputs.uncond_embeds, schedule, Guidance(guidance)
        )
        assert trajectory.shape == (6, 2, 4, 16, 16)
        assert model.evaluations.forward == {0: rows, 1: rows}
    torch.testing.assert_close(trajectory[0], inputs.latents)


def test_the_offset_and_the_last_alpha_of_a_schedule():
    alphas = torch.linspace(0.99, 0.01, 1000)
    schedule = ddim_schedule(alphas, 10)
    assert schedule.timesteps[0] == 1 and schedule.timesteps[-1] == 901
    assert schedule.alphas[0] == pytest.approx(0.99)
    other = ddim_schedule(alphas, 10, steps_offset=0, set_alpha_to_one=True)
    assert other.timesteps[0] == 0 and other.timesteps[-1] == 900
    assert other.alphas[0] == 1
