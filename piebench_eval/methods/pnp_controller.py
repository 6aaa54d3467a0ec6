"""Plug-and-Play inside the UNet: which features the target takes from the source, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.models.attention import plain_attention

if TYPE_CHECKING:
    import torch

    from piebench_eval.models.attention import AttentionLayer

FEATURE_MODULE = "up_blocks.1.resnets.1.conv2"
"""The decoder's 4th layer: its residual block before the shortcut is added."""

FIRST_ATTENTION_LAYER = 8
"""First self-attention of the decoder's layers 4 to 11, counted over the whole UNet."""


class PnPController(AttentionController):
    """Plug-and-Play in the edit loop.

    Attributes:
        feature_steps: features are taken in steps ``0 .. feature_steps - 1``.
        attention_steps: queries and keys of self-attention, likewise.
    """

    hooked_modules = (FEATURE_MODULE,)

    def __init__(self, samples: int, feature_steps: int, attention_steps: int):
        super().__init__(samples)
        self.feature_steps = feature_steps
        self.attention_steps = attention_steps

    def source_reads(self, step: int) -> list[SourceReads]:
        """The conditional half, which both halves of the target take from."""
        injecting = step < max(self.feature_steps, self.attention_steps)
        return [SourceReads(cond=injecting)] * self.samples

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention whose target rows have the source's queries and keys, and values of their own."""
        if layer.kind == "self" and layer.index >= FIRST_ATTENTION_LAYER and self.step < self.attention_steps:
            query, key = self._from_source(query), self._from_source(key)
        return plain_attention(query, key, value)

    def module_output(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Features whose target rows are the source's."""
        return self._from_source(output) if self.step < self.feature_steps else output

    def _from_source(self, states: torch.Tensor) -> torch.Tensor:
        """Overwrite both target rows of every sample with its source row: ``[rows, ...]``, same shape."""
        everyone = range(self.samples)
        source = self.rows.index(Row.SOURCE_COND, everyone)
        states = states.clone()
        for row in (Row.TARGET_UNCOND, Row.TARGET_COND):
            if row in self.rows.samples:
                states[self.rows.index(row, everyone)] = states[source]
        return states
