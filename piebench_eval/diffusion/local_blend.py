"""Local blend of Prompt-to-Prompt: outside the blended words' attention, the target is the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.diffusion.attention_store import AttentionStore, require_maps

if TYPE_CHECKING:
    import torch


class LocalBlend(AttentionStore):
    """Collects the cross-attention maps of the blended words and blends the two branches with them.

    Attributes:
        start_step: the first step that blends; maps are collected from the beginning.
        threshold: a position belongs to the word where its map exceeds this share of the map's maximum.
        inside: where the last blend kept the target ``[samples, 1, h, w]``, bool; None before the first.
    """

    def __init__(self, samples: list[int], words: torch.Tensor, start_step: int, threshold: float):
        super().__init__(samples, words)
        self.start_step = start_step
        self.threshold = threshold
        self.inside: torch.Tensor | None = None

    def masks(self, height: int, width: int) -> torch.Tensor:
        """Where each branch's word is, from the maps collected so far.

        Returns:
            Masks ``[samples, 2, height, width]`` of the source's and the target's word.

        Raises:
            PiebenchError: no map has been collected.
        """
        from torch.nn import functional

        maps = require_maps(self.attention)
        spread = functional.max_pool2d(maps, kernel_size=3, stride=1, padding=1)
        spread = functional.interpolate(spread, size=(height, width))
        # A word without tokens has the map 0 everywhere; 0 / 0 is nan, and nan exceeds nothing.
        return spread / spread.amax(dim=(2, 3), keepdim=True) > self.threshold

    def blend(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Set the target to the source outside the union of both masks.

        Args:
            step: index of the sampling step that led here.
            source: source latents ``[samples of the batch, 4, h, w]``.
            target: target latents, same shape.

        Returns:
            Target latents; those of samples without a blended word are unchanged.
        """
        import torch

        if step < self.start_step or not self.samples:
            return target
        self.inside = self.masks(*target.shape[-2:]).any(dim=1, keepdim=True)
        blended = target.clone()
        blended[self.index] = torch.where(self.inside, target[self.index], source[self.index])
        return blended
