"""DNAEdit's editing, mobile velocity guidance: the target is held to a reference that moves as it should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.methods.base import Method, PreparedController, notes_on_prompts, prompts_of_sample
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class DNAEditSettings(Settings):
    """Settings of mobile velocity guidance."""

    mvg: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="share of the target's own velocity; the rest leads to the reference, 1 leaves that out",
    )


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: DNAEditSettings
) -> PreparedController:
    """Set up the controller of a batch."""
    texts = [prompts_of_sample(sample, settings) for sample in samples]
    notes = notes_on_prompts(texts, model)
    return PreparedController(DNAEditController(len(samples), settings), notes)


class DNAEditController(AttentionController):
    """Mobile velocity guidance in the edit loop.

    Attributes:
        settings: the method's section of the recipe.
        reference: the picture, moved by the difference of the branches' velocities so far
            ``[samples, channels, h, w]``.
    """

    def __init__(self, num_samples: int, settings: DNAEditSettings):
        super().__init__(num_samples)
        self.settings = settings

    def begin_edit(self, inverted: InversionResult) -> None:
        """Begin with the picture as the reference."""
        self.inverted, self.reference = inverted, inverted.trajectory[0]
        self._moved: list[torch.Tensor] = []

    def after_prediction(
        self, latents: torch.Tensor, output: torch.Tensor, schedule: Schedule, level: int
    ) -> torch.Tensor:
        """Go by m v + (1 - m) v_reference, v_reference leading straight to the moved reference."""
        way = schedule.step(latents, output, level) - latents
        moved = self.reference + way - self.inverted.source_step(level)
        self._moved.append(moved)
        to_reference = schedule.implied_output(latents, moved, level, self.time)
        return self.settings.mvg * output + (1 - self.settings.mvg) * to_reference

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Move the reference along what the step has followed: one output, or a mean of them."""
        followed = self._moved if self.inverted.solver.averages else self._moved[-1:]
        self.reference = sum(followed[1:], followed[0]) / len(followed)
        self._moved = []
        return target


DNAEDIT = Method(
    title="DNAEdit (mobile velocity guidance)",
    paper="Xie et al., DNAEdit: Direct Noise Alignment for Text-Guided Rectified Flow Editing, NeurIPS 2025",
    equation="mobile velocity guidance",
    settings=DNAEditSettings,
    prepare=prepare,
    attention=(),
    predicts=("velocity",),
)
