"""The edit loop: source and target branch are denoised together.

Controllers count steps, from the noise. Inversions count levels, from the image. With N steps::

    step              0         1          ...   N - 1
    from level        N         N - 1      ...   1
    to level          N - 1     N - 2      ...   0 (the image)
    timestep          of N      of N - 1   ...   of 1          schedule.timestep(from level)
    uncond_embeds     [N - 1]   [N - 2]    ...   [0]           in the step
    offsets           [N - 1]   [N - 2]    ...   [0]           in the step
    trajectory        [N - 1]   [N - 2]    ...   [0]           after the step; [N] before the first

With the quirk ``count_skipped_steps`` the first step is the number of steps that the inversion skips, not 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.rows import GuidedBranches, Row, RowBatch, StepRows, plan_rows
from piebench_eval.diffusion.solvers import DETERMINISTIC, Solver
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

_SOURCE = (Row.SOURCE_UNCOND, Row.SOURCE_COND)
_TARGET = (Row.TARGET_UNCOND, Row.TARGET_COND)


@dataclass(frozen=True)
class EditInputs:
    """A batch of samples as the model sees them.

    The editing method chooses the prompts; all conditionings have one row per sample. Which prompts are equal
    is known on the host, since comparing embeddings would wait for the device.

    Attributes:
        latents: encoded images ``[samples, channels, h, w]``.
        inversion_embeds: the prompts that the images are inverted with.
        source_embeds: the source branch's prompts.
        target_embeds: the target branch's prompts.
        uncond_embeds: what unconditional rows are conditioned on: the empty prompt, or zeros.
        negative_embeds: what the target branch is guided away from, by default ``uncond_embeds``.
        source_is_uncond: for each sample, whether the source branch's prompt is what ``uncond_embeds`` are.
        source_is_inversion: for each sample, whether it is the prompt that the image is inverted with.
        guidance: guidance of both branches.
        seed: seed of each sample's noise, for inversions that draw any.
    """

    latents: torch.Tensor
    inversion_embeds: Conditioning
    source_embeds: Conditioning
    target_embeds: Conditioning
    uncond_embeds: Conditioning
    negative_embeds: Conditioning
    source_is_uncond: Sequence[bool]
    source_is_inversion: Sequence[bool]
    guidance: Guidance = field(default_factory=Guidance)
    seed: int = 1234


@dataclass(frozen=True)
class InversionResult:
    """The result of an inversion: the source branch's latents, and what both branches add to their steps.

    Attributes:
        trajectory: latents ``[steps + 1, samples, channels, h, w]``, from the image (level 0) to the latent
            that sampling starts from; it need not be the schedule's noisiest level.
        source_mode: ``fixed``: the source branch is set to the trajectory. ``sampled``: it takes its own
            guided steps, and only their start is on the trajectory. ``replayed``: its own guided steps are
            known to lead along the trajectory, so they are taken only under a method that modifies the
            guidance.
        uncond_embeds: unconditional conditioning of both branches, one entry per step, entry k for the step
            from level k + 1 to level k. They replace ``EditInputs.uncond_embeds`` and a method's negative
            prompt; None replaces neither.
        offsets: what both branches add to their steps ``[steps, samples, channels, h, w]``, likewise; nothing
            if None. Where the source is at given latents s, the offset s_k - S(s_{k + 1}) of the solver's
            step S makes its branch retrace them (noise maps of edit-friendly DDPM inversion, for example).
        solver: how both branches step, and what the offsets belong to.
        uncond_embeds_are_source: for each sample, whether ``uncond_embeds`` are the source branch's
            ``source_embeds`` at every step, so that one row serves both halves; nowhere if None.
        notes: for each sample, notes for the user; none if None.
    """

    trajectory: torch.Tensor
    source_mode: Literal["fixed", "sampled", "replayed"]
    uncond_embeds: Sequence[Conditioning] | None = None
    offsets: torch.Tensor | None = None
    solver: Solver = DETERMINISTIC
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
    first_step: int = 0,
) -> torch.Tensor:
    """Sample the edited latents of a batch.

    Args:
        model: the model.
        inputs: latents, conditioning and guidance of the batch.
        inverted: from an inversion.
        controller: from an editing method.
        schedule: the noise schedule.
        first_step: index of the first step for the controller.

    Returns:
        Edited latents ``[samples, channels, h, w]``.
    """
    known = _source_is_known(inverted, controller)
    rows_of_steps = list(zip(*plan_edit(inputs, inverted, controller, first_step), strict=True))
    source = target = inverted.trajectory[-1]
    everyone = list(range(len(target)))
    latent_shape = (target.shape[-2], target.shape[-1])
    # Steps with the same rows share their indices.
    batches = {planned: RowBatch.of_step(planned, target.device) for planned in rows_of_steps}
    with controlled(model.denoiser, controller, latent_shape):
        for step, rows_of_samples in enumerate(rows_of_steps, start=first_step):
            level = first_step + inverted.steps - step
            rows, embeddings = batches[rows_of_samples], _embeddings(inputs, inverted, level)
            moving = [sample for sample, of_sample in enumerate(rows_of_samples) if of_sample.moves_source]
            source_step = BranchStep(inverted, schedule, level, source, moving)
            target_step = BranchStep(inverted, schedule, level, target, everyone)
            for stage in range(inverted.solver.stages):
                controller.begin_step(step, rows, latent_shape, stage)
                at = {row: (source_step if row in _SOURCE else target_step).latents for row in Row}
                output = model.predict(
                    torch.cat([take(at[row], samples) for row, samples in rows.samples_by_row.items()]),
                    target_step.timestep,
                    Conditioning.cat(
                        [embeddings[row].take(samples) for row, samples in rows.samples_by_row.items()]
                    ),
                    rows.owners,
                )
                of_source, of_target = _guided_outputs(output, rows, moving, controller, inputs.guidance)
                of_target = controller.after_prediction(target_step.latents, of_target, schedule, level)
                source_step.follow(of_source)
                target_step.follow(of_target)
            source = inverted.trajectory[level - 1] if known else source_step.latents
            target = controller.on_step_end(step, source, target_step.latents)
    return target


class BranchStep:
    """One branch on its way from a level to the one below it.

    Attributes:
        latents: where the model is evaluated next ``[samples, channels, h, w]``; in the end, those of the
            level below. Samples that do not move stay where they are.
        timestep: the model's time there.
    """

    def __init__(
        self,
        inverted: InversionResult,
        schedule: Schedule,
        level: int,
        latents: torch.Tensor,
        moving: list[int],
    ):
        self.latents = latents
        self._moving = moving
        self._offsets = None if inverted.offsets is None else take(inverted.offsets[level - 1], moving)
        self._walk = inverted.solver.step(schedule, take(latents, moving), level)
        at, self.timestep = next(self._walk)
        self._move(at)

    def follow(self, output: torch.Tensor) -> None:
        """Go on along the (guided) output of the samples that move."""
        try:
            at, self.timestep = self._walk.send(output)
        except StopIteration as end:
            at = end.value if self._offsets is None else end.value + self._offsets
        self._move(at)

    def _move(self, latents: torch.Tensor) -> None:
        if len(self._moving) == len(self.latents):
            self.latents = latents
        elif self._moving:
            index = device_index(self._moving, latents.device)
            self.latents = self.latents.index_copy(0, index, latents)


def plan_edit(
    inputs: EditInputs,
    inverted: InversionResult,
    controller: AttentionController,
    first_step: int = 0,
) -> list[list[StepRows]]:
    """The rows that ``edit`` evaluates in every stage of a step: for each sample, step by step."""
    known = _source_is_known(inverted, controller)
    reads = [controller.source_reads(first_step + step) for step in range(inverted.steps)]
    return [
        plan_rows(
            reads_of_sample,
            known,
            _guided_branches(inputs.guidance, controller),
            uncond_is_cond,
            inverted.solver.stages,
        )
        for reads_of_sample, uncond_is_cond in zip(
            zip(*reads, strict=True), _source_uncond_is_cond(inputs, inverted), strict=True
        )
    ]


def _source_is_known(inverted: InversionResult, controller: AttentionController) -> bool:
    """Whether the source branch's latents need no sampling."""
    return inverted.source_mode == "fixed" or (
        inverted.source_mode == "replayed" and not controller.modifies_guidance
    )


def _guided_branches(guidance: Guidance, controller: AttentionController) -> GuidedBranches:
    """The branches whose unconditional rows count."""
    both = controller.modifies_guidance
    return GuidedBranches(
        source=both or guidance.needs_uncond(guidance.of_source),
        target=both or controller.modifies_target_guidance or guidance.needs_uncond(guidance.target),
    )


def _source_uncond_is_cond(inputs: EditInputs, inverted: InversionResult) -> Sequence[bool]:
    """For each sample, whether both halves of its source branch have the same text at every step."""
    if inverted.uncond_embeds is None:
        return inputs.source_is_uncond
    return inverted.uncond_embeds_are_source or [False] * len(inputs.latents)


def _embeddings(inputs: EditInputs, inverted: InversionResult, level: int) -> dict[Row, Conditioning]:
    """What each kind of row is conditioned on in the step from a level."""
    replaced = None if inverted.uncond_embeds is None else inverted.uncond_embeds[level - 1]
    source, target = inputs.source_embeds, inputs.target_embeds
    if inputs.guidance.policy == "embedded":
        source = source.with_guidance(inputs.guidance.of_source)
        target = target.with_guidance(inputs.guidance.target)
    return {
        Row.SOURCE_UNCOND: inputs.uncond_embeds if replaced is None else replaced,
        Row.SOURCE_COND: source,
        Row.TARGET_UNCOND: inputs.negative_embeds if replaced is None else replaced,
        Row.TARGET_COND: target,
    }


def _guided_outputs(
    output: torch.Tensor,
    rows: RowBatch,
    moving: list[int],
    controller: AttentionController,
    guidance: Guidance,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The guided output of the moving sources and of every target, from the rows of a call."""
    everyone = list(range(controller.num_samples))
    if controller.modifies_guidance:
        halves = [[output[rows.index(row, everyone)] for row in branch] for branch in (_SOURCE, _TARGET)]
        differences = controller.modify_guidance(*(cond - uncond for uncond, cond in halves))
        scales = (guidance.of_source, guidance.target)
        source, target = (
            uncond + scale * difference
            for (uncond, _), scale, difference in zip(halves, scales, differences, strict=True)
        )
        return take(source, moving), target
    guided = _guided_branches(guidance, controller)

    def of_branch(branch: tuple[Row, Row], samples: list[int], scale: float, is_guided: bool) -> torch.Tensor:
        if not is_guided:
            return output[rows.index(branch[1], samples)]
        uncond, cond = (output[rows.index(row, samples)] for row in branch)
        if branch is _TARGET and controller.modifies_target_guidance:
            return uncond + scale * controller.modify_target_guidance(cond - uncond)
        return guide(uncond, cond, scale)

    return (
        of_branch(_SOURCE, moving, guidance.of_source, guided.source),
        of_branch(_TARGET, everyone, guidance.target, guided.target),
    )
