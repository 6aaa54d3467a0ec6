"""Null-text's optimisation in half precision, at the size of Stable Diffusion's latents."""

import copy

import pytest
import torch

from piebench_eval.diffusion.loop import EditInputs
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions.null_text import (
    LossScale,
    NullTextSettings,
    SourceStep,
    loss_and_gradients,
    null_text,
    optimise_step,
)
from piebench_eval.models import fast_gradients
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.sd1 import StableDiffusion
from scripts.demo_training.unet import sd_scheduler
from tests.support.small_unet import new_small_unet

SETTINGS = NullTextSettings(inner_steps=6, stop_loss=0, stop_loss_growth=0)
EVERYONE, LEVEL = [0, 1], 5
ALLOWED = 1.05
"""Half precision may leave this many times the loss that float32 leaves."""


@pytest.fixture(scope="module")
def unet():
    unet = new_small_unet(64)
    # Losses of 1e-5 to 1e-4, as those at which the optimisation stops: unscaled, their gradients vanish in
    # float16, and 1.5 times float32's loss is left.
    unet.conv_out.weight.mul_(0.05)
    return unet


@pytest.fixture(scope="module")
def tensors():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 64, 64, generator=generator)
    uncond, cond = (torch.randn(2, 77, 16, generator=generator) for _ in range(2))
    return latents, uncond, cond


def step_at(unet, dtype, latents, cond):
    schedule = ddim_schedule(sd_scheduler().alphas_cumprod.tolist(), 10)
    half = torch.nn.Module.to(copy.deepcopy(unet), dtype)  # diffusers' own warns of layers that are not there
    model = StableDiffusion(
        unet=half, vae=None, text_encoder=None, tokenizer=None, device=torch.device("cpu")
    )
    with torch.no_grad():
        noise = model.predict(latents, schedule.timesteps[LEVEL - 1], Conditioning(cond), EVERYONE)
    return SourceStep(model, latents, noise, Conditioning(cond), schedule, LEVEL, 7.5)


def losses_of(step, embeddings, wanted):
    with torch.no_grad():
        return (step.guided(embeddings, EVERYONE) - wanted).square().mean(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def wanted(unet, tensors):
    """Where other embeddings lead."""
    latents, uncond, cond = tensors
    others = uncond + 0.3 * torch.randn(uncond.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return step_at(unet, torch.float32, latents, cond).guided(others, EVERYONE)


@pytest.fixture(scope="module")
def losses(unet, tensors, wanted):
    """The losses that each precision's embeddings leave, measured in float32; ``None`` is before."""
    latents, uncond, cond = tensors
    exact, left = step_at(unet, torch.float32, latents, cond), {None: uncond}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        step = step_at(unet, dtype, latents, cond)
        scale = LossScale.of_model(step.model.unet, latents)
        left[dtype] = optimise_step(step, uncond, wanted, 0, SETTINGS, scale)
        assert left[dtype].dtype == torch.float32 and not scale.skipped.any()
    with torch.no_grad():
        return {
            key: (exact.guided(embeddings, EVERYONE) - wanted).square().mean(dim=(1, 2, 3))
            for key, embeddings in left.items()
        }


@pytest.mark.slow  # the next test holds float16's loss to less than unscaled updates reach
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_reaches_the_loss_of_float32(losses, dtype):
    assert (losses[torch.float32] < 0.5 * losses[None]).all(), "there is something to reach"
    assert (losses[dtype] <= ALLOWED * losses[torch.float32]).all()


def test_an_update_whose_gradient_is_not_finite_is_skipped_for_its_sample_alone(unet, tensors, wanted):
    latents, uncond, cond = tensors
    exact, step = (step_at(unet, dtype, latents, cond) for dtype in (torch.float32, torch.float16))
    scale = LossScale.of_model(step.model.unet, latents)
    right = scale.factors[0].item()
    scale.factors[1] = right * 2**60
    tuned = optimise_step(step, uncond, wanted, 0, SETTINGS, scale)
    assert scale.skipped.tolist() == [0, SETTINGS.inner_steps]
    assert scale.factors.tolist() == [right, right * 2 ** (60 - SETTINGS.inner_steps)]
    assert torch.equal(tuned[1], uncond[1]) and not torch.equal(tuned[0], uncond[0])
    before, after = (losses_of(exact, found, wanted)[0] for found in (uncond, tuned))
    assert after < 0.35 * before, "it leaves 0.29 of the loss, and 0.42 without the scale"


def test_skipped_updates_are_told(unet, tensors, monkeypatch):
    latents, uncond, cond = tensors
    latents = latents[:, :, :16, :16]  # whatever the size, such a scale leaves no number
    model = step_at(unet, torch.float16, latents, cond).model
    cond, uncond = Conditioning(cond), Conditioning(uncond)
    inputs = EditInputs(latents, cond, cond, cond, uncond, uncond, [False] * 2, [True] * 2)
    monkeypatch.setattr(LossScale, "of_model", lambda unet, latents: LossScale(2.0**60, 2, latents.device))
    schedule = ddim_schedule(sd_scheduler().alphas_cumprod.tolist(), 1)
    inverted = null_text(model, inputs, schedule, SETTINGS)
    assert [len(notes) for notes in inverted.notes] == [1, 1]
    assert inverted.notes[0][0].startswith("6 updates of null-text inversion were skipped")


def test_all_evaluations_of_a_step_begin_as_one(unet, tensors):
    latents, uncond, cond = tensors
    latents, cond, uncond = latents[:, :, :16, :16], Conditioning(cond), Conditioning(uncond)
    model = step_at(unet, torch.float32, latents, cond.tokens).model
    inputs = EditInputs(latents, cond, cond, cond, uncond, uncond, [False] * 2, [True] * 2)
    schedule, begun = ddim_schedule(sd_scheduler().alphas_cumprod.tolist(), 2), []
    model.unet.conv_in.register_forward_pre_hook(lambda _, given: begun.append(len(given[0])))
    null_text(model, inputs, schedule, SETTINGS)
    assert begun == [2] * (2 + 2), "once in each step, of the inversion and of the optimisation"
    assert model.evaluations.forward[0] == 1 + 2 + 2 * (1 + SETTINGS.inner_steps + 1)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")
def test_an_update_is_differentiated_by_onednn(unet, tensors, wanted, monkeypatch):
    latents, uncond, cond = tensors
    step = step_at(unet, torch.float32, latents, cond)
    scale = LossScale.of_model(step.model.unet, latents)
    calls, of_head = [], fast_gradients.attention_gradients
    monkeypatch.setattr(
        fast_gradients, "attention_gradients", lambda *given: calls.append(1) or of_head(*given)
    )
    found = {}
    for faster in (True, False):
        monkeypatch.setattr(fast_gradients, "onednn_is_faster", lambda faster=faster: faster)
        found[faster] = loss_and_gradients(step, uncond[:1].clone(), wanted, [0], scale)
    (loss, gradient), (same, plain) = found[True], found[False]
    assert len(calls) == 3 * 2, "of the layers that a text reaches, and of two heads"
    assert torch.allclose(loss, same, rtol=1e-5)
    assert (gradient - plain).abs().max() < 1e-4 * plain.abs().max()
