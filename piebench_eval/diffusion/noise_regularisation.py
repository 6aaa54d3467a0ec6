"""Predicted noise made more like noise, as Pix2Pix-Zero does while it inverts (Parmar et al., 2023)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

_COARSEST = 8
"""Side of the coarsest level of the pyramid in which correlations are looked for."""

_EPSILON = 1e-7


def regularised(
    noise: torch.Tensor,
    randoms: Sequence[Random],
    rounds: int,
    rolls: int,
    correlation_weight: float,
    divergence_weight: float,
) -> torch.Tensor:
    """Take noise towards one that is not correlated with itself and that has mean 0 and variance 1.

    Every round follows the gradient of the correlation ``rolls`` times, each by a share of its weight, and
    then that of the divergence.

    Args:
        noise: what a model predicts ``[samples, channels, h, w]``.
        randoms: of each sample, where shifts are drawn from.
        rounds: how often.
        rolls: so many shifts in a round.
        correlation_weight: factor on the gradient of ``correlation``, over all of a round's shifts.
        divergence_weight: factor on the gradient of ``divergence``.

    Returns:
        Shape of ``noise``; no sample depends on another.
    """
    return torch.stack(
        [
            _of_sample(of_sample, random, rounds, rolls, correlation_weight, divergence_weight)
            for of_sample, random in zip(noise, randoms, strict=True)
        ]
    )


def _of_sample(
    noise: torch.Tensor,
    random: Random,
    rounds: int,
    rolls: int,
    correlation_weight: float,
    divergence_weight: float,
) -> torch.Tensor:
    for _ in range(rounds):
        for _ in range(rolls):
            noise = noise - correlation_weight / rolls * _gradient(partial(correlation, random=random), noise)
        noise = noise - divergence_weight * _gradient(divergence, noise)
    return noise


def _gradient(loss: Callable[[torch.Tensor], torch.Tensor], noise: torch.Tensor) -> torch.Tensor:
    with torch.enable_grad():
        leaf = noise.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return gradient


def correlation(noise: torch.Tensor, random: Random) -> torch.Tensor:
    """Squared mean products of each channel with itself shifted, over a pyramid (equation 2).

    One shift is drawn for each channel and size, below half of the size, and taken along rows and columns.

    Args:
        noise: ``[channels, h, w]``.
        random: where shifts are drawn from.
    """
    total = noise.new_zeros(())
    for channel in noise:
        level = channel[None]
        while True:
            shift = random.randrange(max(level.shape[-2] // 2, 1))
            for axis in (-2, -1):
                total = total + (level * level.roll(shift, axis)).mean() ** 2
            if min(level.shape[-2:]) <= _COARSEST:
                break
            level = functional.avg_pool2d(level, 2)
    return total


def divergence(noise: torch.Tensor) -> torch.Tensor:
    """Twice the divergence of the normal distribution of a noise's mean and variance from the standard."""
    variance, mean = noise.var(), noise.mean()
    return variance + mean**2 - 1 - torch.log(variance + _EPSILON)
