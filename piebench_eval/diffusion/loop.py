"""The edit loop: source and target branch are denoised together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.ddim import guide
from piebench_eval.diffusion.indexing import device_index, take
from piebench_eval.diffusion.rows import Row, RowBatch, StepRows, plan_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

_SOURCE = (Row.SOURCE_UNCOND, Row.SOURCE_COND)
_TARGET = (Row.TARGET_UNCOND, Row.TARGET_COND)


@dataclass(frozen=True)
class EditInputs:
    """A batch of samples as the model sees them.

    All embeddings are ``[samples, 77, width]``, float32; the editing method chooses the prompts. Which
    prompts are equal is known on the host, since comparing embeddings would wait for the device.

    Attributes:
        latents: encoded images ``[samples, 4, h, w]``.
        inversion: embeddings of the prompts that the images are inverted with.
        source: embeddings of the source branch's prompts.
        target: embeddings of the target branch's prompts.
        uncond: embeddings of the empty prompt.
        negative: embeddings that the target branch is guided away from: the empty prompt's by default.
        source_is_empty: for each sample, whether the source branch's prompt is the empty one.
        source_is_inversion: for each sample, whether it is the prompt that the image is inverted with.
        guidance: classifier-free guidance scale of the edit, for inversions that depend on it.
        seed: seed of each sample's noise, for inversions that draw any.
    """

    latents: torch.Tensor
    inversion: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    uncond: torch.Tensor
    negative: torch.Tensor
    source_is_empty: Sequence[bool]
    source_is_inversion: Sequence[bool]
    guidance: float = 7.5
    seed: int = 1234


@dataclass(frozen=True)
class InversionResult:
    """The result of an inversion: the source branch's latents, and what both branches add to their steps.

    Attributes:
        trajectory: latents ``[steps + 1, samples, 4, h, w]``, from the image (level 0) to the latent that
            sampling starts from; it need not be the schedule's noisiest level.
        source: ``fixed``: the source branch is set to the trajectory. ``sampled``: it takes its own guided
            steps, and only their start is on the trajectory. ``replayed``: its own guided steps are known to
            lead along the trajectory, so they are taken only under a method that modifies the guidance.
        uncond: unconditional embeddings of both branches ``[steps, samples, 77, width]``, entry k for the
            step between levels k and k + 1. They take the place of the empty prompt's and of a method's
            negative prompt; None replaces neither.
        variance_noise: variance noise of both branches' steps ``[steps, samples, 4, h, w]``, likewise;
            none if None.
        uncond_is_source: for each sample, whether ``uncond`` is the source branch's own embedding at every
            step, so that one row serves both halves; nowhere if None.
        notes: for each sample, what its user should know of the inversion; nothing if None.
    """

    trajectory: torch.Tensor
    source: Literal["fixed", "sampled", "replayed"]
    uncond: torch.Tensor | None = None
    variance_noise: torch.Tensor | None = None
    uncond_is_source: Sequence[bool] | None = None
    notes: list[list[str]] | None = None

    @property
    def steps(self) -> int:
        """Number of steps from the start of sampling to the image."""
        return len(self.trajectory) - 1


@torch.no_grad()
def edit(
    model: DiffusionModel,
    inputs: EditInputs,
    inverted: InversionResult,
    controller: AttentionController,
    schedule: Schedule,
    guidance: float,
    first_step: int = 0,
) -> torch.Tensor:
    """Sample the edited latents of a batch.

    Args:
        model: the model.
        inputs: latents and embeddings of the batch.
        inverted: from an inversion.
        controller: from an editing method.
        schedule: the noise schedule.
        guidance: classifier-free guidance scale of both branches.
        first_step: index of the first step for the controller.

    Returns:
        Edited latents ``[samples, 4, h, w]``.
    """
    known = _source_is_known(inverted, controller)
    plans = list(zip(*plan_edit(inputs, inverted, controller, guidance, first_step), strict=True))
    source = target = inverted.trajectory[-1]
    # Steps with the same rows share their indices.
    layouts = {steps: RowBatch.of_step(steps, target.device) for steps in plans}
    with controlled(model.unet, controller):
        for step, steps in enumerate(plans, start=first_step):
            level = first_step + inverted.steps - step
            embeddings = _embeddings(inputs, inverted, level)
            rows = layouts[steps]
            controller.begin_step(step, rows, (target.shape[-2], target.shape[-1]))
            noise = model.predict_noise(
                torch.cat(
                    [
                        take(source if row in _SOURCE else target, samples)
                        for row, samples in rows.samples.items()
                    ]
                ),
                schedule.timesteps[level - 1],
                torch.cat([take(embeddings[row], samples) for row, samples in rows.samples.items()]),
                rows.owners,
            )

            moving = [sample for sample, of_sample in enumerate(steps) if of_sample.moves_source]
            source_noise, target_noise = _guided_noise(noise, rows, moving, controller, guidance)
            everyone = list(range(controller.samples))
            target = _denoise(inverted, schedule, level, target, target_noise, everyone)
            if known:
                source = inverted.trajectory[level - 1]
            elif moving:
                moved = _denoise(inverted, schedule, level, source, source_noise, moving)
                source = source.index_copy(0, device_index(moving, source.device), moved)
            target = controller.on_step_end(step, source, target)
    return target


def plan_edit(
    inputs: EditInputs,
    inverted: InversionResult,
    controller: AttentionController,
    guidance: float,
    first_step: int = 0,
) -> list[list[StepRows]]:
    """The rows that ``edit`` will evaluate: for each sample, step by step."""
    known = _source_is_known(inverted, controller)
    reads = [controller.source_reads(first_step + step) for step in range(inverted.steps)]
    reads_of_samples = zip(*reads, strict=True)
    return [
        plan_rows(of_sample, known, guidance, one_row, controller.modifies_guidance)
        for of_sample, one_row in zip(reads_of_samples, _one_source_row(inputs, inverted), strict=True)
    ]


def _source_is_known(inverted: InversionResult, controller: AttentionController) -> bool:
    """Whether the source branch's latents need no sampling."""
    return inverted.source == "fixed" or (inverted.source == "replayed" and not controller.modifies_guidance)


def _one_source_row(inputs: EditInputs, inverted: InversionResult) -> Sequence[bool]:
    """For each sample, whether both halves of its source branch have the same text at every step."""
    if inverted.uncond is None:
        return inputs.source_is_empty
    return inverted.uncond_is_source or [False] * len(inputs.latents)


def _embeddings(inputs: EditInputs, inverted: InversionResult, level: int) -> dict[Row, torch.Tensor]:
    """The text of each kind of row in the step down from a level."""
    found = None if inverted.uncond is None else inverted.uncond[level - 1]
    return {
        Row.SOURCE_UNCOND: inputs.uncond if found is None else found,
        Row.SOURCE_COND: inputs.source,
        Row.TARGET_UNCOND: inputs.negative if found is None else found,
        Row.TARGET_COND: inputs.target,
    }


def _denoise(
    inverted: InversionResult,
    schedule: Schedule,
    level: int,
    latents: torch.Tensor,
    noise: torch.Tensor,
    samples: list[int],
) -> torch.Tensor:
    """Take the given samples one level down, along their guided noise."""
    variance = None if inverted.variance_noise is None else take(inverted.variance_noise[level - 1], samples)
    return schedule.step(take(latents, samples), noise, level, variance)


def _guided_noise(
    noise: torch.Tensor, rows: RowBatch, moving: list[int], controller: AttentionController, guidance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The guided noise of the moving sources and of every target, from the rows of a call."""
    everyone = list(range(controller.samples))
    if guidance == 1 and not controller.modifies_guidance:
        return noise[rows.index(Row.SOURCE_COND, moving)], noise[rows.index(Row.TARGET_COND, everyone)]

    def halves(branch: tuple[Row, Row], samples: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        uncond, cond = (noise[rows.index(row, samples)] for row in branch)
        return uncond, cond

    if not controller.modifies_guidance:
        return guide(*halves(_SOURCE, moving), guidance), guide(*halves(_TARGET, everyone), guidance)
    (source_uncond, source), (target_uncond, target) = halves(_SOURCE, everyone), halves(_TARGET, everyone)
    differences = controller.modify_guidance(source - source_uncond, target - target_uncond)
    guided_source, guided_target = (
        uncond + guidance * difference
        for uncond, difference in zip((source_uncond, target_uncond), differences, strict=True)
    )
    return take(guided_source, moving), guided_target
