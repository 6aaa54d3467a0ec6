"""Where a word's attention is strong, by maps that are added up over layers and steps (InfEdit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.diffusion.attention_store import require_maps
from piebench_eval.tensors import device_index

if TYPE_CHECKING:
    import torch


class WordRegion:
    """Adds up cross-attention maps of words, token by token, and says where one of the tokens is.

    Attributes:
        samples: places in the batch of the samples that have such words, ascending.
        words: 1 at the words' tokens, ``[samples, tokens]``, float32, for these samples only.
        index: ``samples`` as an index tensor on the device of ``words``.
        attention: the maps so far ``[samples, tokens, height, width]``, a mean over heads and a sum over
            layers and steps; None before the first.
    """

    def __init__(self, samples: list[int], words: torch.Tensor):
        self.samples = samples
        self.words = words
        self.index = device_index(samples, words.device)
        self.attention: torch.Tensor | None = None

    def collect(self, maps: torch.Tensor, height: int, width: int) -> None:
        """Add one layer's maps.

        Args:
            maps: ``[samples, heads, height * width, tokens]``, for the samples with words.
            height: rows of the maps.
            width: columns of the maps.
        """
        of_words = maps.mean(dim=1) * self.words[:, None]
        spread = of_words.transpose(1, 2).unflatten(-1, (height, width))
        self.attention = spread if self.attention is None else self.attention + spread

    def mask(self, height: int, width: int, threshold: float) -> torch.Tensor:
        """Where the largest of the tokens' maps exceeds a share of its maximum.

        Returns:
            ``[samples, 1, height, width]``; empty for a sample without tokens.

        Raises:
            PiebenchError: no map has been collected.
        """
        from torch.nn import functional

        strongest = require_maps(self.attention).amax(dim=1, keepdim=True)
        strongest = functional.interpolate(strongest, size=(height, width))
        # Without tokens the map is 0 everywhere; 0 / 0 is nan, and nan exceeds nothing.
        return strongest / strongest.amax(dim=(2, 3), keepdim=True) > threshold
