"""The edit loop: source and target branch are denoised together, and a mutual one for methods that want it.

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

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from piebench_eval.diffusion.controller import AttentionController, controlled
from piebench_eval.diffusion.edit_inputs import EditInputs  # noqa: TC001 (plugins import it from here)
from piebench_eval.diffusion.guidance import guide
from piebench_eval.diffusion.inversion_result import InversionResult  # noqa: TC001 (likewise)
from piebench_eval.diffusion.retraced_edit import begin_retracing, can_retrace_by_rows
from piebench_eval.diffusion.row_ends import RowEnds
from piebench_eval.diffusion.rows import Branch, EndedRows, GuidedBranches, Row, RowBatch, StepRows, plan_rows
from piebench_eval.models.unet_pass import RowEnd
from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.diffusion.retraced_edit import RetracedEdit
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.conditioning import Conditioning
    from piebench_eval.models.unet_pass import RowFork

_HALVES = {branch: tuple(row for row in Row if row.branch is branch) for branch in Branch}
"""Each branch's rows, the unconditional one first."""


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
    rows_of_steps = list(zip(*plan_edit(inputs, inverted, controller, first_step), strict=True))
    # Steps with the same rows share their indices.
    of_batch = inputs.latents.device, _shared_sources(inputs, inverted, controller)
    batches = {planned: RowBatch.of_step(planned, *of_batch) for planned in rows_of_steps}
    retraced = begin_retracing(inputs, inverted, controller, rows_of_steps)
    sampling = _Sampling(model, inputs, inverted, controller, schedule, retraced)
    latents = dict.fromkeys(_branches(controller), inverted.trajectory[-1])
    kept: dict[Branch, torch.Tensor | None] = dict.fromkeys(latents)
    controller.begin_edit(inverted)
    if inputs.observer is not None:
        controller.observer = inputs.observer
        inputs.observer.begin_edit(inputs.latents, inverted, controller.modifies_guidance)
    with controlled(model.denoiser, controller, sampling.latent_shape):
        for step, planned in enumerate(rows_of_steps, start=first_step):
            level = first_step + inverted.steps - step
            at = _Place(step, level, planned, batches[planned])
            latents, kept = sampling.step_down(at, latents, kept)
    return inverted.solver.picture(latents[Branch.TARGET])


class _Place(NamedTuple):
    """A step of an edit: its index, the level that it starts from, and its rows, planned and laid out."""

    step: int
    level: int
    planned: Sequence[StepRows]
    rows: RowBatch


@dataclass(frozen=True)
class _Sampling:
    """An edit: what is the same in all of its steps; see ``edit``."""

    model: DiffusionModel
    inputs: EditInputs
    inverted: InversionResult
    controller: AttentionController
    schedule: Schedule
    retraced: RetracedEdit | None

    @cached_property
    def ends(self) -> RowEnds:
        """Where rows of the calls part and end."""
        places, solver = self.model.row_places(), self.inverted.solver
        return RowEnds(self.model.denoiser, places, self.controller, self.latent_shape, solver)

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Height and width of the latents."""
        return self.inputs.latents.shape[-2], self.inputs.latents.shape[-1]

    def step_down(
        self,
        at: _Place,
        latents: Mapping[Branch, torch.Tensor],
        kept: Mapping[Branch, torch.Tensor | None],
    ) -> tuple[dict[Branch, torch.Tensor], dict[Branch, torch.Tensor | None]]:
        """Lead all branches to the level below.

        Args:
            at: the step.
            latents: where each branch is ``[samples, channels, h, w]``.
            kept: the last output of each branch's step before, for solvers that go on from it.

        Returns:
            Both, after the step.
        """
        inverted, solver = self.inverted, self.inverted.solver
        moving = {
            branch: [sample for sample, of_sample in enumerate(at.planned) if of_sample.moves(branch)]
            for branch in latents
        }
        walks = {
            branch: BranchStep(solver, self.schedule, at.level, of_branch, moving[branch], kept[branch])
            for branch, of_branch in latents.items()
        }
        embeddings = _embeddings(self.inputs, inverted, at.level)
        for stage in range(solver.stages_at(at.level, inverted.steps)):
            ended = self.ends.of_call(at.step, at.rows, moving)
            output = self._evaluate(at, stage, walks, embeddings, ended)
            self._follow(at if ended is None else at._replace(rows=ended.left), output, walks, moving)
        below = self._ended(at.level, walks)
        below[Branch.TARGET] = self.controller.end_step(at.step, below)
        if self.inputs.observer is not None:
            self.inputs.observer.step_ended(below, moving[Branch.SOURCE])
        return below, {branch: walk.output for branch, walk in walks.items()}

    def _ended(self, level: int, walks: Mapping[Branch, BranchStep]) -> dict[Branch, torch.Tensor]:
        """Where the step from a level leads all branches: with its offset, and a known source set there."""
        inverted = self.inverted
        source, offset = inverted.trajectory[level - 1], inverted.given_offset(level)
        if self.retraced is not None:
            source, found = self.retraced.step(level, walks[Branch.SOURCE].latents)
            offset = found if offset is None else offset
        below = {branch: walk.ended(offset) for branch, walk in walks.items()}
        if _source_is_known(inverted, self.controller):
            below[Branch.SOURCE] = below[Branch.TARGET] if inverted.source_mode == "edited" else source
        return below

    def _evaluate(
        self,
        at: _Place,
        stage: int,
        walks: Mapping[Branch, BranchStep],
        embeddings: Mapping[Row, Conditioning],
        ended: EndedRows | None,
    ) -> torch.Tensor:
        """The model's output for the rows of a stage that do not end before it.

        A method may move where the target's step begins.
        """
        controller, target = self.controller, walks[Branch.TARGET]
        controller.level, controller.time = at.level, target.timestep
        where = _evaluated_at(self.inverted, controller, walks, at.level, stage)
        call = _Call(self.model, controller, at.step, stage, self.latent_shape, embeddings)
        if not controller.source_first or stage > 0:
            of_rows = {row: where[row.branch] for row in at.rows.samples_by_row}
            return call(at.rows, of_rows, ended, self.ends.fork(at.step, at.rows))
        output, begun = _predict_source_first(call, where, at.rows)
        target.begin_at(begun)
        return output

    def _follow(
        self,
        at: _Place,
        output: torch.Tensor,
        walks: Mapping[Branch, BranchStep],
        moving: Mapping[Branch, list[int]],
    ) -> None:
        """Take every branch along the output of its rows."""
        outputs = _guided_outputs(output, at.rows, moving, self.controller, self.inputs, self.inverted)
        outputs[Branch.TARGET] = self.controller.after_prediction(
            walks[Branch.TARGET].latents, outputs[Branch.TARGET], self.schedule, at.level
        )
        for branch, of_branch in outputs.items():
            walks[branch].follow(of_branch)


class BranchStep:
    """One branch on its way from a level to the one below it.

    Attributes:
        latents: where the model is evaluated next ``[samples, channels, h, w]``; in the end, those of the
            level below, a pair under a coupled solver. Samples that do not move stay where they are.
        timestep: the model's time there.
        output: what was followed last, same shape, if the solver keeps it; of samples that do not move,
            whatever it was before.
    """

    def __init__(
        self,
        solver: Solver,
        schedule: Schedule,
        level: int,
        latents: torch.Tensor,
        moving: list[int],
        previous: torch.Tensor | None = None,
    ):
        self.output = previous
        self._solver, self._schedule, self._level, self._moving = solver, schedule, level, moving
        self.begin_at(latents)

    def begin_at(self, latents: torch.Tensor) -> None:
        """Begin the step, with nothing followed in it, at latents of its level."""
        self.latents = self._begun = latents
        kept = None if self.output is None else take(self.output, self._moving)
        self._walk = self._solver.walk(self._schedule, take(latents, self._moving), self._level, kept)
        at, self.timestep = next(self._walk)
        self._evaluate_at(at)

    def follow(self, output: torch.Tensor) -> None:
        """Go on along the (guided) output of the samples that move."""
        if self._solver.keeps_output:
            before = self.latents if self.output is None else self.output
            self.output = self._with_moving(before, output)
        try:
            at, self.timestep = self._walk.send(output)
        except StopIteration as end:
            self.latents = self._with_moving(self._begun, end.value)
        else:
            self._evaluate_at(at)

    def ended(self, offsets: torch.Tensor | None) -> torch.Tensor:
        """The latents of the level below, with the offsets ``[samples, ...]`` of the samples that move."""
        if offsets is not None and self._moving:
            moved = take(self.latents, self._moving) + take(offsets, self._moving)
            self.latents = self._with_moving(self.latents, moved)
        return self.latents

    def _evaluate_at(self, latents: torch.Tensor) -> None:
        self.latents = self._with_moving(self._solver.picture(self._begun), latents)

    def _with_moving(self, of_all: torch.Tensor, of_moving: torch.Tensor) -> torch.Tensor:
        """Values of all samples ``[samples, ...]`` with those of the samples that move replaced."""
        if len(self._moving) == len(of_all):
            return of_moving
        if not self._moving:
            return of_all
        index = device_index(self._moving, of_all.device)
        return of_all.index_copy(0, index, of_moving)


def _evaluated_at(
    inverted: InversionResult,
    controller: AttentionController,
    walks: Mapping[Branch, BranchStep],
    level: int,
    stage: int,
) -> dict[Branch, torch.Tensor]:
    """Where each branch is evaluated ``[samples, channels, h, w]`` in a stage of the step from a level.

    Args:
        inverted: from an inversion.
        controller: from an editing method.
        walks: the branches on their way.
        level: the level.
        stage: the stage.
    """
    at = {branch: of_branch.latents for branch, of_branch in walks.items()}
    if inverted.source_mode == "edited":
        at[Branch.SOURCE] = at[Branch.TARGET]
    elif inverted.solver.stops is not None and _source_is_known(inverted, controller):
        ends = inverted.trajectory[level], inverted.trajectory[level - 1]
        at[Branch.SOURCE] = inverted.solver.stops(*ends, level)[stage]
    if (offset := _input_offset(inverted, level, stage)) is not None:
        at = {branch: latents + offset for branch, latents in at.items()}
    return at


def _input_offset(inverted: InversionResult, level: int, stage: int) -> torch.Tensor | None:
    """What is added to the latents of both branches at an evaluation in the step from a level."""
    return None if inverted.input_offsets is None else inverted.input_offsets[level - 1][:, stage]


def plan_edit(
    inputs: EditInputs,
    inverted: InversionResult,
    controller: AttentionController,
    first_step: int = 0,
) -> list[list[StepRows]]:
    """The rows that ``edit`` evaluates in every stage of a step: for each sample, step by step."""
    known = _source_is_known(inverted, controller)
    steps = range(first_step, first_step + inverted.steps)
    reads = zip(*(controller.source_reads(step) for step in steps), strict=True)
    mutual = zip(*(controller.mutual_reads(step) for step in steps), strict=True)
    levels, solver = range(inverted.steps, 0, -1), inverted.solver
    guided, retracing = _guided_branches(inputs, inverted, controller), inverted.retracing
    asked = [level for level in levels if retracing is not None and retracing.asks_at(level)]
    # What is averaged is all evaluated at the step's beginning, where a known source is: it need not move.
    stages = [1 if solver.averages else solver.stages_at(level, inverted.steps) for level in levels]
    return [
        plan_rows(
            reads_of_sample,
            known,
            guided,
            uncond_is_cond,
            stages,
            mutual_reads,
            solver.keeps_output,
            known_between=inverted.source_mode == "edited" or solver.stops is not None,
            retraced=[level in asked for level in levels] if retraced else (),
        )
        for reads_of_sample, mutual_reads, uncond_is_cond, retraced in zip(
            reads,
            mutual,
            _source_uncond_is_cond(inputs, inverted),
            can_retrace_by_rows(inputs, inverted, controller),
            strict=True,
        )
    ]


def _branches(controller: AttentionController) -> list[Branch]:
    """The branches that are denoised."""
    return [branch for branch in Branch if branch is not Branch.MUTUAL or controller.mutual_branch]


def _source_is_known(inverted: InversionResult, controller: AttentionController) -> bool:
    """Whether the source branch's latents need no sampling."""
    return inverted.source_mode in ("fixed", "edited") or (
        inverted.source_mode == "replayed" and not controller.modifies_guidance
    )


def _shared_sources(
    inputs: EditInputs, inverted: InversionResult, controller: AttentionController
) -> Sequence[int] | None:
    """For each sample, the first one whose source rows are its own in all steps; None if nobody shares.

    A source that is read has always been where that of every other such sample was, unless it follows its
    target: it is at the target's latents, or takes steps whose guidance the method modifies.
    """
    guided_by_target = controller.modifies_guidance and not _source_is_known(inverted, controller)
    return None if inverted.source_mode == "edited" or guided_by_target else inputs.same_source


def _guided_branches(
    inputs: EditInputs, inverted: InversionResult, controller: AttentionController
) -> GuidedBranches:
    """The branches whose unconditional rows count."""
    both, scales = controller.modifies_guidance, _scales(inputs, inverted)
    return GuidedBranches(
        *(
            both
            or inputs.guidance.needs_uncond(scales[branch])
            or (branch is Branch.TARGET and controller.modifies_target_guidance)
            for branch in Branch
        )
    )


def _scales(inputs: EditInputs, inverted: InversionResult) -> dict[Branch, float]:
    """The guidance scale that each branch steps with."""
    guidance, retracing = inputs.guidance, inverted.retracing
    of_source = guidance if retracing is None else retracing.guidance
    return {
        Branch.SOURCE: of_source.of_source,
        Branch.TARGET: guidance.target,
        Branch.MUTUAL: guidance.of_source,
    }


def _source_uncond_is_cond(inputs: EditInputs, inverted: InversionResult) -> Sequence[bool]:
    """For each sample, whether both halves of its source branch have the same text at every step."""
    if inverted.uncond_embeds is None:
        return inputs.source_is_uncond
    return inverted.uncond_embeds_are_source or [False] * len(inputs.latents)


def _embeddings(inputs: EditInputs, inverted: InversionResult, level: int) -> dict[Row, Conditioning]:
    """What each kind of row is conditioned on in the step from a level."""
    replaced = None if inverted.uncond_embeds is None else inverted.uncond_embeds[level - 1]
    source, target = inputs.source_embeds, inputs.target_embeds
    uncond = inputs.uncond_embeds if replaced is None else replaced
    negative = inputs.negative_embeds if replaced is None else replaced
    guidance = inputs.guidance
    if guidance.policy == "embedded":
        source, target = source.with_guidance(guidance.of_source), target.with_guidance(guidance.target)
    elif guidance.embedded is not None:
        source, uncond = (each.with_guidance(1.0) for each in (source, uncond))
        target, negative = (each.with_guidance(guidance.embedded) for each in (target, negative))
    texts = {
        Row.SOURCE_UNCOND: uncond,
        Row.SOURCE_COND: source,
        Row.TARGET_UNCOND: negative,
        Row.TARGET_COND: target,
        Row.MUTUAL_UNCOND: uncond,
        Row.MUTUAL_COND: source,
    }
    return texts if inverted.values is None else inverted.values.apart(texts, level)


@dataclass(frozen=True)
class _Call:
    """A call of the model in a stage of a step, on rows that are yet to be named."""

    model: DiffusionModel
    controller: AttentionController
    step: int
    stage: int
    latent_shape: tuple[int, int]
    embeddings: Mapping[Row, Conditioning]

    def __call__(
        self,
        rows: RowBatch,
        at: Mapping[Row, torch.Tensor],
        ended: EndedRows | None = None,
        fork: RowFork | None = None,
    ) -> torch.Tensor:
        """Evaluate rows at latents ``[samples, channels, h, w]`` of each kind; the output of those left."""
        self.controller.ended = ended
        self.controller.begin_step(self.step, rows, self.latent_shape, self.stage)
        kinds = rows.samples_by_row.items()
        latents = torch.cat([take(at[row], samples) for row, samples in kinds])
        texts = rows.texts(self.embeddings)
        if latents.requires_grad:  # a loss of what is inside the model passes its output by
            self.model.evaluations.count_differentiated(rows.owners, latents)
        go_on = self.controller.go_on
        end = None if ended is None else RowEnd(ended.place, ended.going_on, go_on)
        for _, sample in rows.lenders:
            self.model.evaluations.count_reused(sample, forward=1, backward=0)
        with self.model.rows_changing(end, fork):
            return self.model.predict(latents, self.controller.time, texts, rows.owners)


def _predict_source_first(
    call: _Call, at: Mapping[Branch, torch.Tensor], rows: RowBatch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate the source's rows, then the target's where the method moves them to.

    Returns:
        The output of all rows in their order, and the latents that the target's step begins with.
    """
    source, target = rows.source_apart
    # As the target's that are compared with it: without gradients, other kernels may round differently. No
    # tensor here is differentiated.
    with torch.enable_grad():
        outputs = [call(source, {row: at[row.branch] for row in source.samples_by_row})]
    begun = {row: at[row.branch] for row in target.samples_by_row}
    moved = call.controller.move_target(begun, partial(call, target))
    outputs.append(call(target, moved))
    return torch.cat(outputs), next(iter(moved.values()))


def _guided_outputs(
    output: torch.Tensor,
    rows: RowBatch,
    moving: Mapping[Branch, list[int]],
    controller: AttentionController,
    inputs: EditInputs,
    inverted: InversionResult,
) -> dict[Branch, torch.Tensor]:
    """The guided output of the samples of each branch that move, from the rows of a call."""
    scales, guided = _scales(inputs, inverted), _guided_branches(inputs, inverted, controller)

    def of_branch(branch: Branch) -> torch.Tensor:
        samples, (uncond_row, cond_row) = moving[branch], _HALVES[branch]
        if not guided[branch]:
            return output[rows.index(cond_row, samples)]
        uncond, cond = (output[rows.index(row, samples)] for row in (uncond_row, cond_row))
        if branch is Branch.TARGET and controller.modifies_target_guidance:
            return uncond + scales[branch] * controller.modify_target_guidance(cond - uncond)
        return guide(uncond, cond, scales[branch])

    if not controller.modifies_guidance:
        return {branch: of_branch(branch) for branch in moving}
    everyone, both = list(range(controller.num_samples)), (Branch.SOURCE, Branch.TARGET)
    halves = [[output[rows.index(row, everyone)] for row in _HALVES[branch]] for branch in both]
    differences = controller.modify_guidance(*(cond - uncond for uncond, cond in halves))
    source, target = (
        uncond + scales[branch] * difference
        for branch, (uncond, _), difference in zip(both, halves, differences, strict=True)
    )
    others = {branch: of_branch(branch) for branch in moving if branch not in both}
    return {Branch.SOURCE: take(source, moving[Branch.SOURCE]), Branch.TARGET: target, **others}
