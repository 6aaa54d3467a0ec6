"""Cross-attention maps of words, collected over layers and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.tensors import device_index

if TYPE_CHECKING:
    import torch


def require_maps(attention: torch.Tensor | None) -> torch.Tensor:
    """The maps that a local blend has collected.

    Raises:
        PiebenchError: there are none.
    """
    if attention is None:
        raise PiebenchError(
            "this model has no attention to words at the local blend's resolution; "
            "change method.blend_downsampling, or set method.local_blend=false"
        )
    return attention


class AttentionStore:
    """Adds up the cross-attention maps of given words, for both branches.

    Attributes:
        samples: places in the batch of the samples that have such words, ascending.
        words: 1 at the tokens of the word, ``[samples, 2, tokens]`` (source, target), float32, for these
            samples only.
        index: ``samples`` as an index tensor on the device of ``words``.
        attention: the maps collected so far ``[samples, 2, height, width]``, a mean over heads and a sum
            over layers and tokens; None before the first.
    """

    def __init__(self, samples: list[int], words: torch.Tensor):
        self.samples = samples
        self.words = words
        self.index = device_index(samples, words.device)
        self.attention: torch.Tensor | None = None

    def collect(self, source_maps: torch.Tensor, target_maps: torch.Tensor, height: int, width: int) -> None:
        """Add one layer's cross-attention maps.

        Args:
            source_maps: ``[samples, heads, height * width, tokens]``, for the samples with words.
            target_maps: likewise.
            height: rows of the maps.
            width: columns of the maps.
        """
        import torch

        maps = torch.stack([source_maps, target_maps], dim=1).float()
        of_words = torch.einsum("sbhpt,sbt->sbp", maps, self.words) / maps.shape[2]
        of_words = of_words.unflatten(-1, (height, width))
        self.attention = of_words if self.attention is None else self.attention + of_words

    def forget(self) -> None:
        """Drop the maps collected so far."""
        self.attention = None
