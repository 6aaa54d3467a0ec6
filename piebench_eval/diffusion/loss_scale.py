"""Loss scaling: what keeps the gradients of a half-precision UNet in its range."""

from __future__ import annotations

import math
from typing import Any

import torch

from piebench_eval.diffusion.indexing import device_index


class LossScale:
    """Factors on the losses that are differentiated (Micikevicius et al., 2018, section 3.2).

    A loss that is a mean over a latent has gradients of its size divided by the latent's number of values,
    which float16 rounds to zero; scaled by that number they fit. Factors are powers of two, so that no digit
    is lost by them. Each sample has its own: none depends on the others of its batch.

    Attributes:
        factors: what each sample's loss is multiplied with ``[samples]``, float32; halved for a sample whose
            gradient is not finite.
        skipped: how many of each sample's gradients were not finite ``[samples]``, int64.
    """

    def __init__(self, factor: float, samples: int, device: torch.device):
        self.factors = torch.full((samples,), factor, device=device)
        self.skipped = torch.zeros(samples, dtype=torch.int64, device=device)

    @classmethod
    def of_model(cls, unet: Any, latents: torch.Tensor) -> LossScale:
        """The scale for a batch of latents ``[samples, 4, h, w]``; only float16 has too small a range."""
        half = getattr(unet, "dtype", None) == torch.float16
        factor = 2.0 ** round(math.log2(latents[0].numel())) if half else 1.0
        return cls(factor, len(latents), latents.device)

    def finite(self, gradients: torch.Tensor, samples: list[int]) -> torch.Tensor:
        """Find gradients that cannot be used, count them and halve their samples' factors.

        Args:
            gradients: ``[len(samples), ...]``.
            samples: places in the batch.

        Returns:
            Whether each gradient can be used, bool ``[len(samples)]``.
        """
        finite = gradients.flatten(1).isfinite().all(dim=1)
        index = device_index(samples, gradients.device)
        factors = self.factors[index]
        self.factors = self.factors.index_copy(0, index, torch.where(finite, factors, factors / 2))
        self.skipped = self.skipped.index_add(0, index, (~finite).long())
        return finite
