"""Offsets that make a source branch retrace given latents, found where an edit needs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.diffusion.guidance import Guidance


@dataclass(frozen=True, eq=False)
class Retracing:
    """What the source's own steps S miss of given latents s: s_{k-1} - S(s_k), by level k and sample.

    In steps in which the method reads the source's row at s_k, S(s_k) follows from that row, and rounding
    errors of both branches cancel. For other steps it is evaluated before the edit.

    Attributes:
        find: ``(level, samples)`` -> what the step from a level misses, for places in the batch
            ``[len(samples), channels, h, w]``.
        guidance: of the source's own steps; its source scale is applied.
        last_level: the lowest level whose step has an offset.
        ends_freely: below it the source goes where its own steps lead; otherwise it is set to the given
            latents there, too, and nobody asks what is missed.
        adjusted: ``(level, missed)`` -> the offset of both branches, where that is not what is missed; the
            source is set to the given latents all the same.
    """

    find: Callable[[int, Sequence[int]], torch.Tensor]
    guidance: Guidance
    last_level: int = 1
    ends_freely: bool = False
    adjusted: Callable[[int, torch.Tensor], torch.Tensor] | None = None
    _found: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def asks_at(self, level: int) -> bool:
        """Whether it matters what the step from a level misses."""
        return level >= self.last_level or self.ends_freely

    def missed(self, level: int, samples: Sequence[int]) -> torch.Tensor:
        """What the step from a level misses, for some samples of the batch; evaluated once for each."""
        new = [sample for sample in samples if (level, sample) not in self._found]
        if new:
            of_level = [(level, sample) for sample in new]
            self._found.update(zip(of_level, self.find(level, new), strict=True))
        return torch.stack([self._found[level, sample] for sample in samples])

    def offset(self, level: int, missed: torch.Tensor) -> torch.Tensor:
        """What both branches add to the step from a level, given what it misses; shapes are the same."""
        if level < self.last_level:
            return torch.zeros_like(missed)
        return missed if self.adjusted is None else self.adjusted(level, missed)

    def offsets(self, steps: int, samples: int) -> torch.Tensor:
        """Those of all steps, for the whole batch ``[steps, samples, channels, h, w]``."""
        everyone = range(samples)
        return torch.stack(
            [self.offset(level, self.missed(level, everyone)) for level in range(1, steps + 1)]
        )
