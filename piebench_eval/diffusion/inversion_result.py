"""What an inversion hands to the edit loop, and to controllers before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from piebench_eval.diffusion.solvers import DETERMINISTIC, Solver

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.diffusion.retracing import Retracing
    from piebench_eval.diffusion.value_texts import ValueTexts
    from piebench_eval.models.conditioning import Conditioning


class _Offsets:
    """The field ``offsets``: as it is given, or else all that the ``retracing`` finds."""

    def __get__(self, result: InversionResult | None, owner: type) -> torch.Tensor | None:
        if result is None:
            return None  # the field's default
        given: torch.Tensor | None = vars(result)["offsets"]
        if given is not None or result.retracing is None:
            return given
        return result.retracing.offsets(result.steps, result.trajectory.shape[1])

    def __set__(self, result: InversionResult, given: torch.Tensor | None) -> None:
        vars(result)["offsets"] = given


@dataclass(frozen=True)
class InversionResult:
    """The result of an inversion: the source branch's latents, and what both branches add to their steps.

    Two coupled latents (EDICT) are handed over as one with twice the channels, and a solver that is
    ``coupled`` knows them apart: a branch's latents of a level are then such a pair, and only where a step
    evaluates the model is it a single latent. So trajectories, caches and the loop are the same for both.

    Attributes:
        trajectory: latents ``[steps + 1, samples, channels, h, w]``, from the image (level 0) to the latent
            that sampling starts from; it need not be the schedule's noisiest level.
        source_mode: ``fixed``: the source branch is set to the trajectory. ``sampled``: it takes its own
            guided steps, and only their start is on the trajectory. ``replayed``: its own guided steps are
            known to lead along the trajectory, so they are taken only under a method that modifies the
            guidance. ``edited``: it has no latents of its own, and its rows are evaluated where the target's
            are: the same latents with the source's prompt.
        uncond_embeds: unconditional conditioning of both branches, one entry per step, entry k for the step
            from level k + 1 to level k. They replace ``EditInputs.uncond_embeds`` and a method's negative
            prompt; None replaces neither.
        offsets: what both branches add to their steps ``[steps, samples, channels, h, w]``, likewise; nothing
            if None. Where the source is at given latents s, the offset s_k - S(s_{k + 1}) of the solver's
            step S makes its branch retrace them (noise maps of edit-friendly DDPM inversion, for example).
            Where they are not given but there is a ``retracing``, reading them evaluates the model.
        input_offsets: what is added to the latents of both branches where the model is evaluated, stage by
            stage ``[steps, samples, stages, channels, h, w]``, likewise; nothing if None.
        retracing: offsets that are found where the edit needs them: in steps that evaluate the source's rows
            anyway, of those rows, and otherwise before the first step. The source is set to the trajectory,
            unless that says otherwise of its end. Where ``offsets`` are given, they are what is added.
        solver: how both branches step, and what the offsets belong to.
        uncond_embeds_are_source: for each sample, whether ``uncond_embeds`` are the source branch's
            ``source_embeds`` at every step, so that one row serves both halves; nowhere if None.
        values: what the values of conditional rows are projected from, for families that take texts of their
            own for them; the rows' texts if None.
        notes: for each sample, notes for the user; none if None.
    """

    trajectory: torch.Tensor
    source_mode: Literal["fixed", "sampled", "replayed", "edited"]
    uncond_embeds: Sequence[Conditioning] | None = None
    offsets: torch.Tensor | None = _Offsets()  # type: ignore[assignment]
    input_offsets: torch.Tensor | None = None
    retracing: Retracing | None = None
    solver: Solver = DETERMINISTIC
    uncond_embeds_are_source: Sequence[bool] | None = None
    values: ValueTexts | None = None
    notes: list[list[str]] | None = None

    @property
    def steps(self) -> int:
        """Number of steps from the start of sampling to the image."""
        return len(self.trajectory) - 1

    def source_step(self, level: int) -> torch.Tensor:
        """How far the model's own output takes the source from a level to the one below it.

        Its offset is left out. Where the source is at the trajectory, this is what the solver makes of the
        output; ``[samples, channels, h, w]``.
        """
        way = self.trajectory[level - 1] - self.trajectory[level]
        if self.retracing is not None:
            return way - self.retracing.missed(level, range(len(way)))
        return way if self.offsets is None else way - self.offsets[level - 1]

    def __repr__(self) -> str:
        # Not field by field: showing offsets would evaluate the model.
        samples = self.trajectory.shape[1]
        return f"<InversionResult: {self.source_mode} source, {self.steps} steps, {samples} samples>"

    def given_offset(self, level: int) -> torch.Tensor | None:
        """What is added to the step from a level, of ``offsets`` that are given: ``[samples, ...]``."""
        given: torch.Tensor | None = vars(self)["offsets"]
        return None if given is None else given[level - 1]
