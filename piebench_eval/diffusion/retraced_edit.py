"""A retracing in an edit: from which steps' rows its offsets follow, and what is found before the edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.diffusion.retracing import Retracing
    from piebench_eval.diffusion.rows import StepRows


@dataclass(frozen=True)
class RetracedEdit:
    """A retracing in an edit.

    Attributes:
        retracing: it.
        trajectory: the latents that the source retraces ``[steps + 1, samples, channels, h, w]``.
        by_rows: by level, the samples whose source takes its own step in the edit.
        beforehand: by level, what was found for the others before it ``[samples, channels, h, w]``, with
            zeros for those; no entry where there are no others.
    """

    retracing: Retracing
    trajectory: torch.Tensor
    by_rows: Mapping[int, Sequence[int]]
    beforehand: Mapping[int, torch.Tensor]

    @classmethod
    def begin(
        cls,
        retracing: Retracing,
        trajectory: torch.Tensor,
        can_by_rows: Sequence[bool],
        rows_of_steps: Sequence[Sequence[StepRows]],
    ) -> RetracedEdit:
        """Find, before an edit, what the source's own steps miss where the edit does not take them.

        Args:
            retracing: an inversion's.
            trajectory: the latents that the source retraces.
            can_by_rows: for each sample, whether the source's rows are those of the retracing's steps.
            rows_of_steps: for each step, from the noisiest, those of every sample.
        """
        by_rows, beforehand = {}, {}
        for level, planned in enumerate(reversed(rows_of_steps), start=1):
            moving = [can_by_rows[sample] and rows.moves_source for sample, rows in enumerate(planned)]
            by_rows[level] = [sample for sample, moves in enumerate(moving) if moves]
            if others := [sample for sample, moves in enumerate(moving) if not moves]:
                of_all = torch.zeros_like(trajectory[level])
                index = device_index(others, of_all.device)
                beforehand[level] = of_all.index_copy(0, index, retracing.missed(level, others))
        return cls(retracing, trajectory, by_rows, beforehand)

    def step(self, level: int, stepped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the step from a level takes the source, and what it adds to all branches.

        Args:
            level: the level.
            stepped: where the source's own step has led, of those samples that have taken it
                ``[samples, channels, h, w]``; the results have the same shape.
        """
        below, missed = self.trajectory[level - 1], self.beforehand.get(level)
        if missed is None:
            missed = below - stepped
        elif samples := self.by_rows[level]:
            of_samples = take(below - stepped, samples)
            missed = missed.index_copy(0, device_index(samples, below.device), of_samples)
        retracing = self.retracing
        is_free = retracing.ends_freely and level < retracing.last_level
        return below - missed if is_free else below, retracing.offset(level, missed)
