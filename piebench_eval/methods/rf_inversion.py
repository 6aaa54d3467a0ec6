"""RF-Inversion's editing: in the first steps the target's velocity is pulled to the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.methods.base import Method, PreparedController, Prompts, notes_on_prompts
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class RFInversionSettings(Settings):
    """Settings of RF-Inversion's reverse process; the defaults are its code's."""

    inversion_prompt: Literal["empty", "source"] = Field(
        default="empty", description="prompt of the inversion: empty as in the paper, or the sample's"
    )
    eta: float = Field(
        default=0.9, ge=0, le=1, description="share of the velocity that leads straight to the picture"
    )
    start: float = Field(default=0.0, ge=0, le=1, description="share of the steps before the pull begins")
    stop: float = Field(default=0.25, ge=0, le=1, description="share of the steps at which it ends")
    decay_power: float = Field(
        default=0.0,
        ge=0,
        description="eta falls as (1 - i / N) to this power in step i of N; 0 leaves it as it is",
    )

    @model_validator(mode="after")
    def _stops_after_it_starts(self) -> Self:
        if self.stop < self.start:
            raise ValueError(f"stop={self.stop}: is before start={self.start}")
        return self


def prompts(sample: Sample, settings: RFInversionSettings) -> Prompts:
    """The target prompt edits; the source prompt is that of the inversion, or the empty one."""
    source = sample.source_prompt if settings.inversion_prompt == "source" else ""
    return Prompts(source, source, sample.target_prompt)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: RFInversionSettings
) -> PreparedController:
    """Set up the controller of a batch."""
    texts = [prompts(sample, settings) for sample in samples]
    notes = notes_on_prompts(texts, model)
    window = range(int(settings.start * steps), min(int(settings.stop * steps), steps))
    return PreparedController(RFInversionController(len(samples), window, settings), notes)


class RFInversionController(AttentionController):
    """RF-Inversion in the edit loop.

    Attributes:
        window: the steps in which the target is pulled.
        settings: the method's section of the recipe.
    """

    def __init__(self, num_samples: int, window: range, settings: RFInversionSettings):
        super().__init__(num_samples)
        self.window = window
        self.settings = settings

    def begin_edit(self, inverted: InversionResult) -> None:
        """Keep the picture."""
        self.image = inverted.trajectory[0]

    def after_prediction(
        self, latents: torch.Tensor, output: torch.Tensor, schedule: Schedule, level: int
    ) -> torch.Tensor:
        """Go by v + eta (v_picture - v), v_picture leading straight to the picture."""
        if self.step not in self.window:
            return output
        steps = self.step + level  # from the first that is counted to the picture
        eta = self.settings.eta * (1 - self.step / steps) ** self.settings.decay_power
        to_picture = schedule.implied_output(latents, self.image, level, self.time)
        return output + eta * (to_picture - output)


RF_INVERSION = Method(
    title="RF-Inversion",
    paper="Rout et al., Semantic Image Inversion and Editing using Rectified Stochastic Differential "
    "Equations, ICLR 2025",
    equation="the controlled reverse equation",
    settings=RFInversionSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(),
    predicts=("velocity",),
)
