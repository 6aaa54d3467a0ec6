"""The edit loop: source and target branch are denoised together.

Controllers count steps, from the noise. Inversions count levels, from the image. With N steps::

    step              0         1          ...   N - 1
    from level        N         N - 1      ...   1
    to level          N - 1     N - 2      ...   0 (the image)
    timestep          of N      of N - 1   ...   of 1          schedule.timestep(from level)
    uncond_embeds     [N - 1]   [N - 2]    ...   [0]           in the step
    variance_noise    [N - 1]   [N - 2]    ...   [0]           in the step
    trajectory        [N - 1]   [N - 2]    ...   [0]           after the step; [N] before the first

With the quirk ``count_skipped_steps`` the first step is the number of steps that the inversion skips, not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.ddim_sampling import guide
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
        inversion_embeds: embeddings of the prompts that the images are inverted with.
        source_embeds: embeddings of the source branch's prompts.
        target_embeds: embeddings of the target branch's prompts.
        uncond_embeds: embeddings of the empty prompt.
        negative_embeds: embeddings of what the target branch is guided away from, by default the empty
            prompt.
        source_is_empty: for each sample, whether the source branch's prompt is the empty one.
        source_is_inversion: for each sample, whether it is the prompt that the image is inverted with.
        guidance: classifier-free guidance scale of the edit, for inversions that depend on it.
        seed: seed of each sample's noise, for inversions that draw any.
    """

    latents: torch.Tensor
    inversion_embeds: torch.Tensor
    source_embeds: torch.Tensor
    target_embeds: torch.Tensor
    uncond_embeds: torch.Tensor
    negative_embeds: torch.Tensor
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
        source_mode: ``fixed``: the source branch is set to the trajectory. ``sampled``: it takes its own
            guided steps, and only their start is on the trajectory. ``replayed``: its own guided steps are
            known to lead along the trajectory, so they are taken only under a method that modifies the
            guidance.
        uncond_embeds: unconditional embeddings of both branches ``[steps, samples, 77, width]``, entry k for
            the step from level k + 1 to level k. They replace those of the empty prompt and of a method's
            negative prompt; None replaces neither.
        variance_noise: variance noise of both branches' steps ``[steps, samples, 4, h, w]``, likewise;
            none if None.
        uncond_embeds_are_source: for each sample, whether ``uncond_embeds`` are the source branch's
            ``source_embeds`` at every step, so that one row serves both halves; nowhere if None.
        notes: for each sample, notes for the user; none if None.
    """

    trajectory: torch.Tensor
    source_mode: Literal["fixed", "sampled", "replayed"]
    uncond_embeds: torch.Tensor | None = None
    variance_noise: torch.Tensor | None = None
    uncond_embeds_are_source: Sequence[bool] | None = None
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
    rows_of_steps = list(zip(*plan_edit(inputs, inverted, controller, guidance, first_step), strict=True))
    source = target = inverted.trajectory[-1]
    # Steps with the same rows share their indices.
    batches = {planned: RowBatch.of_step(planned, target.device) for planned in rows_of_steps}
    with controlled(model.unet, controller):
        for step, rows_of_samples in enumerate(rows_of_steps, start=first_step):
            level = first_step + inverted.steps - step
            latents = {row: source if row in _SOURCE else target for row in Row}
            embeddings = _embeddings(inputs, inverted, level)
            rows = batches[rows_of_samples]
            controller.begin_step(step, rows, (target.shape[-2], target.shape[-1]))
            noise = model.predict_noise(
                torch.cat([take(latents[row], samples) for row, samples in rows.samples_by_row.items()]),
                schedule.timestep(level),
                torch.cat([take(embeddings[row], samples) for row, samples in rows.samples_by_row.items()]),
                rows.owners,
            )

            moving = [sample for sample, of_sample in enumerate(rows_of_samples) if of_sample.moves_source]
            source_noise, target_noise = _guided_noise(noise, rows, moving, controller, guidance)
            everyone = list(range(controller.num_samples))
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
    """The rows that ``edit`` evaluates: for each sample, step by step."""
    known = _source_is_known(inverted, controller)
    reads = [controller.source_reads(first_step + step) for step in range(inverted.steps)]
    reads_of_samples = zip(*reads, strict=True)
    return [
        plan_rows(reads_of_sample, known, guidance, uncond_is_cond, controller.modifies_guidance)
        for reads_of_sample, uncond_is_cond in zip(
            reads_of_samples, _source_uncond_is_cond(inputs, inverted), strict=True
        )
    ]


def _source_is_known(inverted: InversionResult, controller: AttentionController) -> bool:
    """Whether the source branch's latents need no sampling."""
    return inverted.source_mode == "fixed" or (
        inverted.source_mode == "replayed" and not controller.modifies_guidance
    )


def _source_uncond_is_cond(inputs: EditInputs, inverted: InversionResult) -> Sequence[bool]:
    """For each sample, whether both halves of its source branch have the same text at every step."""
    if inverted.uncond_embeds is None:
        return inputs.source_is_empty
    return inverted.uncond_embeds_are_source or [False] * len(inputs.latents)


def _embeddings(inputs: EditInputs, inverted: InversionResult, level: int) -> dict[Row, torch.Tensor]:
    """The text embeddings of each kind of row in the step from a level."""
    replaced = None if inverted.uncond_embeds is None else inverted.uncond_embeds[level - 1]
    return {
        Row.SOURCE_UNCOND: inputs.uncond_embeds if replaced is None else replaced,
        Row.SOURCE_COND: inputs.source_embeds,
        Row.TARGET_UNCOND: inputs.negative_embeds if replaced is None else replaced,
        Row.TARGET_COND: inputs.target_embeds,
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
    everyone = list(range(controller.num_samples))
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
