"""Proximal guidance in the edit loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from piebench_eval.diffusion.rows import SourceReads
from piebench_eval.methods.p2p_controller import P2PController

if TYPE_CHECKING:
    from piebench_eval.diffusion.local_blend import LocalBlend
    from piebench_eval.methods.p2p_controller import CrossAttentionEdit, StepRanges
    from piebench_eval.methods.proximal import ProximalSettings


class ProximalController(P2PController):
    """Prompt-to-Prompt whose guidance differences are shrunk.

    Attributes:
        settings: the method's section of the recipe.
    """

    modifies_guidance = True
    settings: ProximalSettings

    def __init__(
        self,
        windows: StepRanges,
        edit: CrossAttentionEdit,
        local_blend: LocalBlend,
        settings: ProximalSettings,
    ):
        super().__init__(windows, edit, local_blend, settings)

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves of the source at every step: its differences take part in the threshold."""
        return [
            SourceReads(uncond=True, cond=True, latent=read.latent) for read in super().source_reads(step)
        ]

    def modify_guidance(
        self, source: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Shrink both branches by a threshold that they find together."""
        differences = torch.stack([source, target], dim=1)
        shrunk = proximal(differences, self.settings.quantile, self.settings.shrink)
        return shrunk[:, 0], shrunk[:, 1]


def proximal(differences: torch.Tensor, quantile: float, shrink: Literal["soft", "hard"]) -> torch.Tensor:
    """Set small guidance differences to zero.

    Args:
        differences: ``[samples, ...]``; each sample has a threshold of its own.
        quantile: the threshold is this quantile of a sample's absolute differences.
        shrink: ``soft`` moves the others towards zero by the threshold (the proximal operator of the
            L1 norm), ``hard`` leaves them (that of the L0 norm).

    >>> import torch
    >>> proximal(torch.tensor([[-4.0, 1.0, 2.0, 3.0, 0.0]]), quantile=0.5, shrink="soft")
    tensor([[-2.,  0.,  0.,  1.,  0.]])
    """
    sizes = differences.abs().flatten(1)
    threshold = sizes.quantile(quantile, dim=1).reshape(-1, *[1] * (differences.dim() - 1))
    if shrink == "hard":
        return torch.where(differences.abs() >= threshold, differences, 0.0)
    return differences - differences.clamp(-threshold, threshold)
