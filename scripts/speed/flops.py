"""Floating-point operations of a UNet row, and FLOP/s of the device."""

import time
from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from scripts.plain.model import call_unet
from scripts.speed.empty import META, empty_texts

_SECONDS = 0.3
"""About what the products of one size take, and the longest that a single one may."""


@torch.no_grad()
def flops_of_row(unet: UNet2DConditionModel, latent_side: int, tokens: int = 77) -> int:
    """Operations of one row forward (a multiplication and an addition are two), counted without data.

    Backward towards an embedding, without gradients of the weights, costs about as many again.
    """
    with META:
        empty = UNet2DConditionModel.from_config(unet.config).eval()
        latents = torch.empty(1, 4, latent_side, latent_side)
        with FlopCounterMode(display=False) as counter:
            call_unet(empty, latents, 1, empty_texts(empty, 1, tokens))
    return counter.get_total_flops()


def matrix_peak(
    device: torch.device, dtype: torch.dtype, sides: Sequence[int] = (1024, 2048, 4096, 8192)
) -> float:
    """Operations per second of the device's best square matrix product, measured.

    Sides that the device is too slow for are left out.
    """
    best = 0.0
    for side in sides:
        one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        once = _seconds(one, other, 1)
        repeats = max(1, int(_SECONDS / once))
        seconds = min(_seconds(one, other, repeats) for _ in range(3))
        best = max(best, 2 * side**3 / seconds)
        if 8 * once > _SECONDS:  # the next side is twice as long
            break
    return best


def _seconds(one: torch.Tensor, other: torch.Tensor, repeats: int) -> float:
    """Of one product, the mean of several in a row."""
    one @ other
    synchronize(one.device)
    started = time.perf_counter()
    for _ in range(repeats):
        one @ other
    synchronize(one.device)
    return (time.perf_counter() - started) / repeats


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU has been given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
