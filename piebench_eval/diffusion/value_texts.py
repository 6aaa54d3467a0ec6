"""Texts of their own for the values of cross-attention, whose keys keep the prompt's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.diffusion.rows import Branch, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from piebench_eval.models.conditioning import Conditioning

_CONDITIONAL = (Row.SOURCE_COND, Row.TARGET_COND, Row.MUTUAL_COND)


@dataclass(frozen=True)
class ValueTexts:
    """What the values of conditional rows are projected from: their text's tokens, scaled and shifted.

    Unconditional rows have one text for keys and values.

    Attributes:
        scales: ``[steps, samples, tokens, width]``, entry k for the step from level k + 1 to level k.
        shifts: likewise.
        target_steps: in so many of the first steps, the noisiest ones, the target's row has such values, too;
            the source's has them in all.
    """

    scales: torch.Tensor
    shifts: torch.Tensor
    target_steps: int

    def apart(self, texts: Mapping[Row, Conditioning], level: int) -> dict[Row, Conditioning]:
        """What each kind of row is conditioned on in the step from a level, with the texts of its values."""
        scale, shift = self.scales[level - 1], self.shifts[level - 1]
        for_target = len(self.scales) - level < self.target_steps

        def values(row: Row, tokens: torch.Tensor) -> torch.Tensor:
            changed = row in _CONDITIONAL and (row.branch is Branch.SOURCE or for_target)
            return tokens * scale + shift if changed else tokens

        return {row: text.with_values(values(row, text.tokens)) for row, text in texts.items()}
