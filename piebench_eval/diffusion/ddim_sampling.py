"""DDIM inversion and reconstruction, and classifier-free guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


def guide(uncond: torch.Tensor, cond: torch.Tensor, guidance: float) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans, 2022, equation 6 in Stable Diffusion's parametrisation)."""
    return uncond + guidance * (cond - uncond)


def predict_guided_noise(
    model: DiffusionModel,
    latents: torch.Tensor,
    timestep: int,
    cond: torch.Tensor,
    uncond: torch.Tensor,
    guidance: float,
) -> torch.Tensor:
    """Predict the noise of latents under guidance.

    Args:
        model: the model.
        latents: ``[samples, 4, h, w]``.
        timestep: training timestep.
        cond: text embeddings ``[samples, 77, width]``.
        uncond: text embeddings of the empty prompt, same shape; read only if ``guidance`` is not 1.
        guidance: guidance scale; at 1 the unconditional row is not computed.

    Returns:
        Noise, shape of ``latents``.
    """
    samples = range(len(latents))
    noise = model.predict_noise(latents, timestep, cond, samples)
    if guidance == 1:
        return noise
    return guide(model.predict_noise(latents, timestep, uncond, samples), noise, guidance)


@torch.no_grad()
def ddim_invert(
    model: DiffusionModel,
    latents: torch.Tensor,
    cond: torch.Tensor,
    uncond: torch.Tensor,
    schedule: Schedule,
    guidance: float = 1.0,
) -> torch.Tensor:
    """Invert images to noise: DDIM with its step reversed (section 4.3).

    The noise for the step from level k - 1 to k is predicted on the latent of level k - 1, at the timestep of
    level k: the approximation that makes the inversion inexact.

    Args:
        model: the model.
        latents: encoded images ``[samples, 4, h, w]``.
        cond: text embeddings of the source prompts ``[samples, 77, width]``.
        uncond: text embeddings of the empty prompt, same shape; read only if ``guidance`` is not 1.
        schedule: the noise schedule.
        guidance: guidance scale; at 1 the unconditional row is not computed.

    Returns:
        The trajectory ``[steps + 1, samples, 4, h, w]``, from the image (level 0) to the noise (level N).
    """
    trajectory = [latents]
    for k in range(1, schedule.steps + 1):
        noise = predict_guided_noise(model, trajectory[-1], schedule.timestep(k), cond, uncond, guidance)
        trajectory.append(schedule.inverse_step(trajectory[-1], noise, k))
    return torch.stack(trajectory)


@torch.no_grad()
def ddim_reconstruct(
    model: DiffusionModel, noise: torch.Tensor, cond: torch.Tensor, schedule: Schedule
) -> torch.Tensor:
    """Sample inverted latents without guidance: the reconstructions, whose error is the inversion's.

    Args:
        model: the model.
        noise: latents of level N ``[samples, 4, h, w]``.
        cond: text embeddings of the source prompts ``[samples, 77, width]``.
        schedule: the noise schedule.

    Returns:
        The trajectory ``[steps + 1, samples, 4, h, w]``, again from level 0 to level N.
    """
    trajectory, samples = [noise], range(len(noise))
    for k in reversed(range(1, schedule.steps + 1)):
        predicted = model.predict_noise(trajectory[-1], schedule.timestep(k), cond, samples)
        trajectory.append(schedule.step(trajectory[-1], predicted, k))
    return torch.stack(trajectory[::-1])
