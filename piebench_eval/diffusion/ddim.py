"""DDIM (Song et al., ICLR 2021): one formula that walks between noise levels in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


def ddim_step(
    latents: torch.Tensor,
    noise: torch.Tensor,
    alpha_from: float,
    alpha_to: float,
    fresh_noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Move latents from one noise level to another along predicted noise (equation 12).

    Args:
        latents: latents at the level of ``alpha_from``, any shape.
        noise: noise predicted for them, same shape.
        alpha_from: cumulative alpha of the level they are at.
        alpha_to: cumulative alpha of the level to go to; larger is towards the image.
        fresh_noise: same shape; with it the step is stochastic (eta 1), without it eta is 0.

    >>> import torch
    >>> ddim_step(torch.tensor([1.0]), torch.tensor([0.0]), alpha_from=0.25, alpha_to=1.0)
    tensor([2.])
    """
    predicted_image = (latents - (1 - alpha_from) ** 0.5 * noise) / alpha_from**0.5
    if fresh_noise is None:
        return alpha_to**0.5 * predicted_image + (1 - alpha_to) ** 0.5 * noise
    sigma = ddim_sigma(alpha_from, alpha_to)
    direction = (1 - alpha_to - sigma**2) ** 0.5 * noise
    return alpha_to**0.5 * predicted_image + direction + sigma * fresh_noise


def ddim_sigma(alpha_from: float, alpha_to: float) -> float:
    """Standard deviation of the fresh noise of a step towards the image at eta 1 (equation 16)."""
    return ((1 - alpha_to) / (1 - alpha_from) * (1 - alpha_from / alpha_to)) ** 0.5


def guide(uncond: torch.Tensor, cond: torch.Tensor, guidance: float) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans, 2022, equation 6 in Stable Diffusion's parametrisation)."""
    return uncond + guidance * (cond - uncond)


def ddim_invert(
    model: DiffusionModel,
    latents: torch.Tensor,
    cond: torch.Tensor,
    uncond: torch.Tensor,
    schedule: Schedule,
    guidance: float = 1.0,
) -> torch.Tensor:
    """Walk images up to noise: DDIM with its step reversed (section 4.3).

    The noise for the step from level k to k + 1 is predicted on the latent of level k, at the timestep of
    level k + 1: the approximation that makes the inversion inexact.

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
    return _walk(model, latents, cond, uncond, schedule, guidance, range(schedule.steps), up=True)


def ddim_reconstruct(
    model: DiffusionModel, noise: torch.Tensor, cond: torch.Tensor, schedule: Schedule
) -> torch.Tensor:
    """Walk inverted latents back down, unguided: what the inversion's own error leaves of the images.

    Args:
        model: the model.
        noise: latents of level N ``[samples, 4, h, w]``.
        cond: text embeddings of the source prompts ``[samples, 77, width]``.
        schedule: the noise schedule.

    Returns:
        The trajectory ``[steps + 1, samples, 4, h, w]``, again from level 0 to level N.
    """
    levels = reversed(range(schedule.steps))
    return _walk(model, noise, cond, cond, schedule, 1.0, levels, up=False).flip(0)


@torch.no_grad()
def _walk(
    model: DiffusionModel,
    latents: torch.Tensor,
    cond: torch.Tensor,
    uncond: torch.Tensor,
    schedule: Schedule,
    guidance: float,
    levels: Iterable[int],
    up: bool,
) -> torch.Tensor:
    """Take latents through the steps between levels k and k + 1, and keep every one of them."""
    trajectory = [latents]
    for level in levels:
        latents = guided_step(model, latents, cond, uncond, schedule, guidance, level, up)
        trajectory.append(latents)
    return torch.stack(trajectory)


def guided_step(
    model: DiffusionModel,
    latents: torch.Tensor,
    cond: torch.Tensor,
    uncond: torch.Tensor,
    schedule: Schedule,
    guidance: float,
    level: int,
    up: bool,
) -> torch.Tensor:
    """Take latents ``[samples, 4, h, w]`` through the step between levels ``level`` and ``level + 1``.

    Args:
        model: the model.
        latents: those of the lower level if the step leads up, otherwise of the upper one.
        cond: text embeddings ``[samples, 77, width]``.
        uncond: text embeddings of the empty prompt, same shape; read only if ``guidance`` is not 1.
        schedule: the noise schedule.
        guidance: guidance scale; at 1 the unconditional row is not computed.
        level: the lower of the two levels.
        up: towards the noise.
    """
    timestep, samples = schedule.timesteps[level], range(len(latents))
    noise = model.predict_noise(latents, timestep, cond, samples)
    if guidance != 1:
        noise = guide(model.predict_noise(latents, timestep, uncond, samples), noise, guidance)
    below, above = schedule.alphas[level], schedule.alphas[level + 1]
    return ddim_step(latents, noise, *((below, above) if up else (above, below)))
