"""How well the picture outside the mask is preserved: PSNR, MSE, SSIM and LPIPS.

All four see both pictures with the masked part painted black, and average over the whole picture, hole
included: so a larger mask makes for better numbers, in the published tables too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchmetrics.functional.regression import mean_squared_error

if TYPE_CHECKING:
    import torch

_SSIM_BORDER = 5


def masked_mse(source: torch.Tensor, edited: torch.Tensor) -> float:
    """Mean squared error.

    Args:
        source: ``[1, 3, height, width]`` in 0..1, masked.
        edited: likewise.
    """
    return float(mean_squared_error(edited, source))


def masked_psnr(source: torch.Tensor, edited: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a data range of 1; inf for identical pictures.

    Args:
        source: ``[1, 3, height, width]`` in 0..1, masked.
        edited: likewise.

    >>> import torch
    >>> masked_psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1))
    20.0
    """
    return float(peak_signal_noise_ratio(edited, source, data_range=1.0))


def masked_ssim(source: torch.Tensor, edited: torch.Tensor) -> float:
    """Structural similarity (Wang et al., 2004) with the Gaussian window of 11 pixels, sigma 1.5.

    The outer 5 pixels of the SSIM map are left out, as torchmetrics did when the paper was written and
    does no more: there the window would reach beyond the picture.

    Args:
        source: ``[1, 3, height, width]`` in 0..1, masked; at least 11 pixels a side.
        edited: likewise.
    """
    _, ssim_map = structural_similarity_index_measure(
        edited, source, sigma=1.5, data_range=1.0, k1=0.01, k2=0.03, return_full_image=True
    )
    inner = slice(_SSIM_BORDER, -_SSIM_BORDER)
    return float(ssim_map[..., inner, inner].mean())
