"""An edit whose source branch retraces given latents: by its own rows, and by what was found beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.diffusion.controller import AttentionController
    from piebench_eval.diffusion.edit_inputs import EditInputs
    from piebench_eval.diffusion.inversion_result import InversionResult
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


def begin_retracing(
    inputs: EditInputs,
    inverted: InversionResult,
    controller: AttentionController,
    rows_of_steps: Sequence[Sequence[StepRows]],
) -> RetracedEdit | None:
    """Find, before an edit, what the source's own steps miss where the edit does not take them.

    Args:
        inputs: the batch.
        inverted: from an inversion.
        controller: from an editing method.
        rows_of_steps: for each step, from the noisiest, those of every sample.

    Returns:
        None if the inversion has no ``Retracing``.
    """
    if inverted.retracing is None:
        return None
    can, by_rows, beforehand = can_retrace_by_rows(inputs, inverted, controller), {}, {}
    for level, planned in enumerate(reversed(rows_of_steps), start=1):
        moving = [can[sample] and of_sample.moves_source for sample, of_sample in enumerate(planned)]
        by_rows[level] = [sample for sample, moves in enumerate(moving) if moves]
        if others := [sample for sample, moves in enumerate(moving) if not moves]:
            of_others = inverted.retracing.missed(level, others)
            of_all = torch.zeros_like(inverted.trajectory[level])
            beforehand[level] = of_all.index_copy(0, device_index(others, of_all.device), of_others)
    return RetracedEdit(inverted.retracing, inverted.trajectory, by_rows, beforehand)


def can_retrace_by_rows(
    inputs: EditInputs, inverted: InversionResult, controller: AttentionController
) -> Sequence[bool]:
    """For each sample, whether the source's rows in an edit are those that its retracing's steps evaluate.

    They are not where the method may change them, modifies the source's guidance, or gives it another prompt
    than the inversion, or where the model takes another guidance scale as an input.
    """
    guidance, retracing = inputs.guidance, inverted.retracing
    if retracing is None or controller.modifies_guidance or not controller.leaves_source:
        return [False] * len(inputs.latents)
    if guidance.policy == "embedded" and guidance.of_source != retracing.guidance.of_source:
        return [False] * len(inputs.latents)
    return inputs.source_is_inversion
