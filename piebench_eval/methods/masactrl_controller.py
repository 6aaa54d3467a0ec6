"""MasaCtrl inside the UNet: mutual self-attention, with and without masks."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.models.attention import attention_maps, plain_attention

if TYPE_CHECKING:
    from piebench_eval.diffusion.attention_store import AttentionStore
    from piebench_eval.diffusion.rows import RowBatch
    from piebench_eval.methods.masactrl import MasaCtrlSettings
    from piebench_eval.models.attention import AttentionLayer

_HALVES = ((Row.SOURCE_UNCOND, Row.TARGET_UNCOND), (Row.SOURCE_COND, Row.TARGET_COND))


class MasaCtrlController(AttentionController):
    """MasaCtrl in the edit loop.

    Attributes:
        word_maps: where the foreground's words are, for the samples that are edited with masks.
        settings: the method's section of the recipe.
    """

    def __init__(self, samples: int, word_maps: AttentionStore, settings: MasaCtrlSettings):
        super().__init__(samples)
        self.word_maps = word_maps
        self.settings = settings

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves, each for the same half of the target."""
        looking = step >= self.settings.start_step
        return [SourceReads(uncond=looking, cond=looking)] * self.samples

    def begin_step(self, step: int, rows: RowBatch, latent_shape: tuple[int, int]) -> None:
        """Masks are those of the step itself."""
        super().begin_step(step, rows, latent_shape)
        self.word_maps.forget()

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention whose target rows have the source's keys and values, and queries of their own."""
        if self.step < self.settings.start_step:
            return plain_attention(query, key, value)
        if layer.kind == "cross":
            self._collect(query, key)
        elif layer.index >= self.settings.start_layer:
            return self._mutual(query, key, value)
        return plain_attention(query, key, value)

    def _mutual(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        everyone = range(self.samples)
        key, value = key.clone(), value.clone()
        halves = [half for half in _HALVES if half[1] in self.rows.samples]
        for source, target in halves:
            of_source = self.rows.index(source, everyone)
            of_target = self.rows.index(target, everyone)
            key[of_target], value[of_target] = key[of_source], value[of_source]
        attended = plain_attention(query, key, value)
        if self.word_maps.attention is not None:
            masks = self._masks(self.word_maps.attention, query.shape[2])
            for _, target in halves:
                masked = self.rows.index(target, self.word_maps.samples)
                attended[masked] = masked_attention(query[masked], key[masked], value[masked], *masks)
        return attended

    def _collect(self, query: torch.Tensor, key: torch.Tensor) -> None:
        height, width = self.latent_shape
        downsampling = self.settings.mask_downsampling
        if not self.word_maps.samples or isqrt(height * width // query.shape[2]) != downsampling:
            return
        source, target = (
            self.rows.index(row, self.word_maps.samples) for row in (Row.SOURCE_COND, Row.TARGET_COND)
        )
        self.word_maps.collect(
            attention_maps(query[source], key[source]),
            attention_maps(query[target], key[target]),
            height // downsampling,
            width // downsampling,
        )

    def _masks(self, maps: torch.Tensor, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Foreground of source and target at a layer's resolution, each ``[samples, positions]``."""
        height, width = self.latent_shape
        downsampling = isqrt(height * width // positions)
        found = foreground(maps, self.settings.mask_threshold)
        size = (height // downsampling, width // downsampling)
        masks = functional.interpolate(found.float(), size=size).flatten(2).bool()
        return masks[:, 0], masks[:, 1]


def foreground(maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """Where words are: their maps above a share of their range.

    Args:
        maps: ``[samples, 2, height, width]``.
        threshold: share of the way from a map's minimum to its maximum.

    >>> import torch
    >>> foreground(torch.tensor([[[[1.0, 2.0], [1.5, 5.0]]]]), 0.2).int()
    tensor([[[[0, 1],
              [0, 1]]]], dtype=torch.int32)
    """
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - low) > threshold * (high - low)


def masked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    source_mask: torch.Tensor,
    target_mask: torch.Tensor,
) -> torch.Tensor:
    """Foreground attends to foreground and background to background (equations 8 to 10).

    Args:
        query: the target's ``[samples, heads, positions, width]``.
        key: the source's, same shape.
        value: the source's, same shape.
        source_mask: the source's foreground ``[samples, positions]``.
        target_mask: the target's foreground, same shape.

    Returns:
        As ``query``. Where the source has nothing of a kind, positions of that kind attend to all of it.
    """

    def attend_to(kind: torch.Tensor) -> torch.Tensor:
        seen = kind | ~kind.any(dim=1, keepdim=True)  # the same keys for every position: no map of masks
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])

    return torch.where(target_mask[:, None, :, None], attend_to(source_mask), attend_to(~source_mask))
