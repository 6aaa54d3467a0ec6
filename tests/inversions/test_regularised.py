"""The inversion of Pix2Pix-Zero: predicted noise is regularised, and levels are cleaner by one timestep."""

from random import Random

import pytest
import torch

from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.noise_regularisation import correlation, divergence, regularised
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.trajectory import RegularisedSettings, inverting_schedule
from piebench_eval.methods import METHODS
from piebench_eval.runs.batch_editing import encode_inputs
from tests.inversions.conftest import STEPS

PUBLISHED = {"rounds": 5, "rolls": 5, "correlation_weight": 20.0, "divergence_weight": 20.0}


@pytest.fixture(scope="module")
def noise():
    """Noise of a wrong mean and variance whose neighbours are alike."""
    white = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    return 0.3 + 0.5 * (white + white.roll(1, -1))


def test_noise_becomes_more_like_noise(noise):
    better = regularised(noise, [Random(1), Random(1)], **PUBLISHED)
    for before, after in zip(noise, better, strict=True):
        assert divergence(after) < divergence(before)
        assert correlation(after, Random(2)) < correlation(before, Random(2))


def test_no_sample_depends_on_another(noise):
    together = regularised(noise, [Random(1), Random(1)], **PUBLISHED)
    assert torch.equal(together[1:], regularised(noise[1:], [Random(1)], **PUBLISHED))


def invert(model, inputs, schedule, name="ddim", **settings):
    entry = INVERSIONS.get(name)
    return entry.invert(model, inputs, schedule, entry.settings(**settings))


def test_the_inversion_goes_by_regularised_noise(model, samples, inputs, schedule):
    plain, other = (invert(model, inputs, schedule, regularisation_rounds=rounds) for rounds in (0, 1))
    assert (plain.trajectory[-1] - other.trajectory[-1]).abs().max() > 1e-3
    alone = invert(model, encode_inputs(model, samples[1:2], 128), schedule, regularisation_rounds=1)
    torch.testing.assert_close(other.trajectory[:, 1:], alone.trajectory, atol=1e-4, rtol=0)


def test_cleaner_levels(model, schedule):
    along = inverting_schedule(model, schedule, RegularisedSettings(noise_levels="cleaner"))
    assert along.timesteps == schedule.timesteps
    wanted = [model.alphas_cumprod[time] for time in (0, 200, 400, 600, 800, 999)]
    assert along.alphas == pytest.approx(wanted)
    assert inverting_schedule(model, schedule, RegularisedSettings()) is schedule


def test_under_target_offset_the_source_prompt_reconstructs_the_picture(model, samples, schedule):
    """Each step with its offset leads along the trajectory."""
    source = [each.source_prompt for each in samples[:2]]
    inputs = encode_inputs(model, samples[:2], 128)
    inverted = invert(model, inputs, schedule, "direct", target_offset=True)
    same = type(inputs)(**{**vars(inputs), "target_embeds": model.embed_prompts(source)})
    method = METHODS.get("plain")
    controller = method.prepare(samples[:2], model, STEPS, method.settings()).controller
    torch.testing.assert_close(
        edit(model, same, inverted, controller, schedule), inputs.latents, atol=1e-4, rtol=0
    )
