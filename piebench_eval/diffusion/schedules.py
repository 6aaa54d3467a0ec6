"""The noise schedule, and DDIM's steps along it (Song et al., ICLR 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@dataclass(frozen=True)
class Schedule:
    """N timesteps and the N + 1 noise levels between which they lead.

    Level 0 is the image and level N the noisiest latent. Inversions and the edit loop count in levels and
    leave timesteps and alphas to the methods.

    Attributes:
        timesteps: training timesteps of levels 1 to N, ascending: 1, 21, ..., 981 for 50 steps.
        alphas: cumulative alphas of levels 0 to N.
    """

    timesteps: tuple[int, ...]
    alphas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of sampling steps, N."""
        return len(self.timesteps)

    def timestep(self, level: int) -> int:
        """The training timestep of a level from 1: the UNet's, in the step between it and the level below."""
        return self.timesteps[level - 1]

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """Noise an image's latents to a level: the forward process (Ho et al., 2020, equation 4).

        Args:
            latents: latents of level 0, any shape.
            noise: drawn from the standard normal distribution, same shape.
            level: the level to go to.
        """
        alpha = self.alphas[level]
        return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise

    def step(
        self,
        latents: torch.Tensor,
        noise: torch.Tensor,
        level: int,
        variance_noise: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Denoise latents from a level to the one below it.

        Args:
            latents: latents of ``level``, any shape.
            noise: noise predicted for them, same shape.
            level: a level from 1.
            variance_noise: same shape; with it the step is stochastic (eta 1), without it eta is 0.
        """
        return ddim_step(latents, noise, self.alphas[level], self.alphas[level - 1], variance_noise)

    def inverse_step(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """Take latents from the level below up to ``level``, along predicted noise of the same shape."""
        return ddim_step(latents, noise, self.alphas[level - 1], self.alphas[level])

    def sigma(self, level: int) -> float:
        """Standard deviation of the variance noise of the step from ``level`` (equation 16, eta 1)."""
        return ddim_sigma(self.alphas[level], self.alphas[level - 1])


def ddim_step(
    latents: torch.Tensor,
    noise: torch.Tensor,
    alpha_from: float,
    alpha_to: float,
    variance_noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Take latents from one noise level to another along predicted noise (equation 12).

    Args:
        latents: latents at the level of ``alpha_from``, any shape.
        noise: noise predicted for them, same shape.
        alpha_from: cumulative alpha of the level they are at.
        alpha_to: cumulative alpha of the level to go to; larger is towards the image.
        variance_noise: same shape; with it the step is stochastic (eta 1), without it eta is 0.

    >>> import torch
    >>> ddim_step(torch.tensor([1.0]), torch.tensor([0.0]), alpha_from=0.25, alpha_to=1.0)
    tensor([2.])
    """
    predicted_image = (latents - (1 - alpha_from) ** 0.5 * noise) / alpha_from**0.5
    if variance_noise is None:
        return alpha_to**0.5 * predicted_image + (1 - alpha_to) ** 0.5 * noise
    sigma = ddim_sigma(alpha_from, alpha_to)
    direction = (1 - alpha_to - sigma**2) ** 0.5 * noise
    return alpha_to**0.5 * predicted_image + direction + sigma * variance_noise


def ddim_sigma(alpha_from: float, alpha_to: float) -> float:
    """Standard deviation of the variance noise of a step towards the image at eta 1 (equation 16)."""
    return ((1 - alpha_to) / (1 - alpha_from) * (1 - alpha_from / alpha_to)) ** 0.5


def ddim_schedule(
    alphas_cumprod: Sequence[float], steps: int, steps_offset: int = 1, set_alpha_to_one: bool = False
) -> Schedule:
    """Evenly spaced timesteps ("leading" spacing), all shifted by ``steps_offset``.

    The offset is 1 in every script of the reference: where a script leaves it at 0, the Stable Diffusion
    pipeline of its time sets it to 1 before sampling.

    Args:
        alphas_cumprod: cumulative alphas of the training timesteps, 1000 of them.
        steps: number of sampling steps.
        steps_offset: added to every timestep.
        set_alpha_to_one: level 0 has alpha 1; otherwise that of training timestep 0, as Stable Diffusion's
            configuration says.
    """
    stride = len(alphas_cumprod) // steps
    timesteps = tuple(k * stride + steps_offset for k in range(steps))
    image_alpha = 1.0 if set_alpha_to_one else float(alphas_cumprod[0])
    alphas = (image_alpha, *(float(alphas_cumprod[t]) for t in timesteps))
    return Schedule(timesteps, alphas)
