"""Noise schedules: the levels between which steps lead, and all arithmetic of noise and image on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from math import exp
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch


class Schedule(ABC):
    """N timesteps and the N + 1 noise levels between which they lead.

    Level 0 is the image and level N the noisiest latent. Inversions and the edit loop count in levels and
    leave timesteps, alphas and sigmas to the methods. ``output`` is what the model predicts: noise along a
    ``DDIMSchedule``, a velocity along a ``FlowSchedule``.

    Attributes:
        timesteps: the model's time at levels 1 to N, ascending.
    """

    timesteps: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Number of sampling steps, N."""
        return len(self.timesteps)

    @property
    def key(self) -> dict[str, Any]:
        """What tells it from other schedules, for cache keys."""
        return {"kind": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]

    def timestep(self, level: int) -> float:
        """The model's time at a level; from 1 up, that of the step between it and the level below."""
        return self.timesteps[level - 1] if level else 0

    @abstractmethod
    def noised(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """Noise an image's latents to a level: the forward process.

        Args:
            latents: latents of level 0, any shape.
            noise: drawn from the standard normal distribution, same shape.
            level: the level to go to.
        """

    @abstractmethod
    def signal(self, level: int) -> float:
        """The image's share in latents of a level: what ``noised`` multiplies it by."""

    @abstractmethod
    def predicted_image(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """The image that an output of the model implies for latents of a level, same shape."""

    @abstractmethod
    def implied_output(
        self, latents: torch.Tensor, image: torch.Tensor, level: int, time: float | None = None
    ) -> torch.Tensor:
        """The output for latents of a level that would predict an image: ``predicted_image`` reversed.

        Args:
            latents: any shape.
            image: same shape.
            level: theirs, or the one that a step leads from.
            time: the model's at the latents, where a flow's solver has taken them below the level.
        """

    @abstractmethod
    def step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """Take latents from a level to the one below it, along the model's output of the same shape."""

    @abstractmethod
    def inverse_step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """Take latents from the level below up to ``level``, along the model's output of the same shape."""

    @abstractmethod
    def consistency_mean(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """The mean of a consistency model's step to the level below (Luo et al., LCM, 2023, algorithm 3).

        That is the predicted image at that level's signal; the step adds fresh noise to it.
        """


@dataclass(frozen=True)
class DDIMSchedule(Schedule):
    """Levels of a model that predicts noise (epsilon), with DDIM's steps (Song et al., ICLR 2021).

    Attributes:
        timesteps: training timesteps of levels 1 to N, ascending: 1, 21, ..., 981 for 50 steps.
        alphas: cumulative alphas of levels 0 to N.
    """

    timesteps: tuple[int, ...]
    alphas: tuple[float, ...]

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule`` (Ho et al., 2020, equation 4)."""
        alpha = self.alphas[level]
        return alpha**0.5 * latents + (1 - alpha) ** 0.5 * noise

    def signal(self, level: int) -> float:
        """As in ``Schedule``."""
        return self.alphas[level] ** 0.5

    def predicted_image(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule`` (Song et al., equation 9)."""
        return _predicted_image(latents, output, self.alphas[level])

    def implied_output(
        self, latents: torch.Tensor, image: torch.Tensor, level: int, time: float | None = None
    ) -> torch.Tensor:
        """As in ``Schedule``: the noise between them."""
        return (latents - self.signal(level) * image) / (1 - self.alphas[level]) ** 0.5

    def step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``: equation 12 with eta 0."""
        return ddim_step(latents, output, self.alphas[level], self.alphas[level - 1])

    def inverse_step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``: equation 12 with eta 0, reversed."""
        return ddim_step(latents, output, self.alphas[level - 1], self.alphas[level])

    def consistency_mean(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``."""
        return self.alphas[level - 1] ** 0.5 * self.predicted_image(latents, output, level)

    def ancestral_mean(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """The mean of the step with eta 1, that of DDPM's posterior (Ho et al., 2020, equation 7)."""
        alpha, alpha_to = self.alphas[level], self.alphas[level - 1]
        direction = (1 - alpha_to - self.sigma(level) ** 2) ** 0.5 * output
        return alpha_to**0.5 * _predicted_image(latents, output, alpha) + direction

    def sigma(self, level: int) -> float:
        """Standard deviation of the noise of the step from ``level`` with eta 1 (equation 16)."""
        alpha, alpha_to = self.alphas[level], self.alphas[level - 1]
        return ((1 - alpha_to) / (1 - alpha) * (1 - alpha / alpha_to)) ** 0.5


@dataclass(frozen=True)
class FlowSchedule(Schedule):
    """Levels of a model that predicts a velocity, with Euler's steps (Liu et al., Rectified Flow, ICLR 2023).

    Latents are (1 - sigma) image + sigma noise.

    Attributes:
        timesteps: the model's time at levels 1 to N, ascending.
        sigmas: share of noise at levels 0 to N, from 0 to 1.
        towards: where the model's velocity points: ``noise`` for noise - image, ``image`` for its negative.
    """

    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    towards: Literal["noise", "image"] = "noise"

    def noised(self, latents: torch.Tensor, noise: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule`` (equation 1)."""
        sigma = self.sigmas[level]
        return (1 - sigma) * latents + sigma * noise

    def signal(self, level: int) -> float:
        """As in ``Schedule``."""
        return 1 - self.sigmas[level]

    def predicted_image(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``: the straight line's end."""
        return self._move(latents, output, self.sigmas[level], 0.0)

    def implied_output(
        self, latents: torch.Tensor, image: torch.Tensor, level: int, time: float | None = None
    ) -> torch.Tensor:
        """As in ``Schedule``: the velocity of the line between them."""
        way = latents - image if self.towards == "noise" else image - latents
        if time is None or time == self.timestep(level):
            return way / self.sigmas[level]
        return way / (time / self.time_of(1.0))

    def step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``."""
        return self._move(latents, output, self.sigmas[level], self.sigmas[level - 1])

    def inverse_step(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``."""
        return self._move(latents, output, self.sigmas[level - 1], self.sigmas[level])

    def consistency_mean(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """As in ``Schedule``."""
        return (1 - self.sigmas[level - 1]) * self.predicted_image(latents, output, level)

    def sde_mean(self, latents: torch.Tensor, output: torch.Tensor, level: int) -> torch.Tensor:
        """The mean of the step of the stochastic equation with the same latents at every level, same shape.

        Its velocity is 2 v + x / (1 - sigma), for v towards the noise (Rout et al., ICLR 2025); sigma must be
        below 1.
        """
        away = latents / self.signal(level)
        return self.step(latents, 2 * output + (away if self.towards == "noise" else -away), level)

    def sde_sigma(self, level: int) -> float:
        """Standard deviation of the noise that such a step adds, also the last one."""
        sigma = self.sigmas[level]
        return (2 * sigma / (1 - sigma) * (sigma - self.sigmas[level - 1])) ** 0.5

    def time_of(self, sigma: float) -> float:
        """The model's time at a share of noise: 1000 times that, as at all levels."""
        return 1000 * sigma

    def velocity(self, latents: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """The velocity of the line from latents with a share of noise to noise alone, same shape."""
        way = noise - latents if self.towards == "noise" else latents - noise
        return way / (1 - sigma)

    def between(self, level: int) -> FlowSchedule:
        """The schedule of two half steps between a level and the one below it, for solvers of two stages."""
        sigma = (self.sigmas[level] + self.sigmas[level - 1]) / 2
        time = (self.timestep(level) + self.timestep(level - 1)) / 2
        sigmas = (self.sigmas[level - 1], sigma, self.sigmas[level])
        return FlowSchedule((time, self.timestep(level)), sigmas, self.towards)

    def _move(
        self, latents: torch.Tensor, velocity: torch.Tensor, sigma: float, sigma_to: float
    ) -> torch.Tensor:
        """Euler's step between two shares of noise, in either direction."""
        way = sigma_to - sigma if self.towards == "noise" else sigma - sigma_to
        return latents + way * velocity


def ddim_step(latents: torch.Tensor, noise: torch.Tensor, alpha_from: float, alpha_to: float) -> torch.Tensor:
    """Take latents from one noise level to another along predicted noise (equation 12, eta 0).

    Args:
        latents: latents at the level of ``alpha_from``, any shape.
        noise: noise predicted for them, same shape.
        alpha_from: cumulative alpha of the level they are at.
        alpha_to: cumulative alpha of the level to go to; larger is towards the image.

    >>> import torch
    >>> ddim_step(torch.tensor([1.0]), torch.tensor([0.0]), alpha_from=0.25, alpha_to=1.0)
    tensor([2.])
    """
    return alpha_to**0.5 * _predicted_image(latents, noise, alpha_from) + (1 - alpha_to) ** 0.5 * noise


def _predicted_image(latents: torch.Tensor, noise: torch.Tensor, alpha: float) -> torch.Tensor:
    return (latents - (1 - alpha) ** 0.5 * noise) / alpha**0.5


def ddim_schedule(
    alphas_cumprod: Sequence[float],
    steps: int,
    steps_offset: int = 1,
    set_alpha_to_one: bool = False,
    timesteps: Sequence[int] | None = None,
) -> DDIMSchedule:
    """Evenly spaced timesteps ("leading" spacing), all shifted by ``steps_offset``, or given ones.

    The offset is 1 in every script of the reference: where a script leaves it at 0, the Stable Diffusion
    pipeline of its time sets it to 1 before sampling.

    Args:
        alphas_cumprod: cumulative alphas of the training timesteps, 1000 of them.
        steps: number of sampling steps.
        steps_offset: added to every timestep.
        set_alpha_to_one: level 0 has alpha 1; otherwise that of training timestep 0, as Stable Diffusion's
            configuration says.
        timesteps: training timesteps, descending, in place of evenly spaced ones.
    """
    stride = len(alphas_cumprod) // steps
    chosen = tuple(k * stride + steps_offset for k in range(steps))
    if timesteps is not None:
        chosen = tuple(reversed(timesteps))
    image_alpha = 1.0 if set_alpha_to_one else float(alphas_cumprod[0])
    return DDIMSchedule(chosen, (image_alpha, *(float(alphas_cumprod[t]) for t in chosen)))


LCM_STEPS = 50
"""Timesteps that latent consistency models are distilled with, evenly spaced from the noisiest."""


def lcm_timesteps(steps: int, known: int = LCM_STEPS) -> list[int]:
    """Timesteps of a latent consistency model, descending: some of those that it was distilled with.

    Args:
        steps: number of sampling steps, ``known`` at most.
        known: of how many of them, the least noisy ones; ``LCM_STEPS`` is all.

    >>> lcm_timesteps(4), lcm_timesteps(4, known=25)
    ([999, 759, 499, 259], [499, 379, 259, 139])
    """
    stride = 1000 // LCM_STEPS
    # Floats as in diffusers' LCMScheduler, which decides where a quotient is a whole number but for rounding.
    return [(known - int(k * (known / steps))) * stride - 1 for k in range(steps)]


def lcm_schedule(
    alphas_cumprod: Sequence[float], steps: int, timesteps: Sequence[int] | None = None
) -> DDIMSchedule:
    """Timesteps of a latent consistency model: some of those that it was distilled with (Luo et al., 2023).

    Level 0 has alpha 1: the last step ends at the predicted image.

    Args:
        alphas_cumprod: cumulative alphas of the training timesteps, 1000 of them.
        steps: number of sampling steps, ``LCM_STEPS`` at most.
        timesteps: training timesteps, descending, in place of those of ``lcm_timesteps``.

    >>> lcm_schedule([0.5] * 1000, 4).timesteps
    (259, 499, 759, 999)
    """
    timesteps = timesteps or lcm_timesteps(steps)
    return ddim_schedule(alphas_cumprod, steps, set_alpha_to_one=True, timesteps=timesteps)


def shifted_share(part: float, shift: float, of: int = 1) -> float:
    """f(u) = shift u / (1 + (shift - 1) u), a share of noise moved to the noise (Esser et al., equation 23).

    Args:
        part: u, or that many times u.
        shift: above 1 towards the noise.
        of: how many times u ``part`` is.

    >>> shifted_share(0.5, 3.0), shifted_share(2, 3.0, of=4)
    (0.75, 0.75)
    """
    return shift * part / (of + (shift - 1) * part)


def shifted_flow_schedule(steps: int, shift: float) -> FlowSchedule:
    """Sigmas moved towards the noise, as those of Stable Diffusion 3 (Esser et al., 2024, equation 23).

    With f of ``shifted_share``, sigmas are f of evenly spaced numbers from 1 to f(1/1000), both included:
    diffusers' ``FlowMatchEulerDiscreteScheduler`` shifts the smallest one twice. Below it is 0, so that the
    last step is a short one.

    Args:
        steps: number of sampling steps.
        shift: of the scheduler's configuration, 3 for Stable Diffusion 3.

    >>> [round(sigma, 4) for sigma in shifted_flow_schedule(5, 3.0).sigmas]
    [0.0, 0.0089, 0.503, 0.7511, 0.9004, 1.0]
    """

    smallest = shifted_share(1 / 1000, shift)
    gap = (1 - smallest) / max(1, steps - 1)
    sigmas = [0.0, *(shifted_share(1 - k * gap, shift) for k in reversed(range(steps)))]
    return FlowSchedule(tuple(1000 * sigma for sigma in sigmas[1:]), tuple(sigmas))


def flow_schedule_by_size(steps: int, positions: int, scheduler: Mapping[str, Any]) -> FlowSchedule:
    """Sigmas that are moved the more towards the noise, the larger the picture is, as those of FLUX.1.

    With f of ``shifted_share``, sigmas are f(k / N), and the shift's logarithm grows with the number of
    positions along a line that the configuration gives; where it says no ``use_dynamic_shifting``, the shift
    is the configuration's own.

    Args:
        steps: number of sampling steps, N.
        positions: of the picture in the model's sequence.
        scheduler: a ``FlowMatchEulerDiscreteScheduler``'s configuration.

    >>> of_dev = {"use_dynamic_shifting": True}
    >>> [round(sigma, 4) for sigma in flow_schedule_by_size(4, 1024, of_dev).sigmas]
    [0.0, 0.3849, 0.6525, 0.8492, 1.0]
    """
    shift = scheduler.get("shift", 1.0)
    if scheduler.get("use_dynamic_shifting"):
        fewest, most = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
        least, largest = scheduler.get("base_shift", 0.5), scheduler.get("max_shift", 1.15)
        shift = exp(least + (positions - fewest) * (largest - least) / (most - fewest))
    sigmas = tuple(shifted_share(k, shift, of=steps) for k in range(steps + 1))
    return FlowSchedule(tuple(1000 * sigma for sigma in sigmas[1:]), sigmas)


def uniform_flow_schedule(steps: int, towards: Literal["noise", "image"] = "noise") -> FlowSchedule:
    """Evenly spaced times from 1000 / N to 1000, as InstaFlow's (Liu et al., ICLR 2024).

    Args:
        steps: number of sampling steps.
        towards: where the model's velocity points.

    >>> uniform_flow_schedule(4).timesteps
    (250.0, 500.0, 750.0, 1000.0)
    """
    sigmas = tuple(k / steps for k in range(steps + 1))
    return FlowSchedule(tuple(1000 * sigma for sigma in sigmas[1:]), sigmas, towards)
