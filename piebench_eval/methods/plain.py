"""Plain sampling: the target prompt under guidance, without attention control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.methods.base import Method, PreparedController, Prompts, notes_on_prompts
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel


class PlainSettings(Settings):
    """Settings of plain sampling."""

    negative_prompt: Literal["empty", "source"] = Field(
        default="empty",
        description="what the target is guided away from: the empty prompt, or the source prompt (TurboEdit's"
        " pseudo-guidance, whose weight w is then the guidance scale)",
    )


def prompts(sample: Sample, settings: PlainSettings) -> Prompts:
    """The sample's own prompts."""
    source = sample.source_prompt
    negative = source if settings.negative_prompt == "source" else ""
    return Prompts(source, source, sample.target_prompt, negative)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: PlainSettings
) -> PreparedController:
    """A controller that reads nothing of the source."""
    texts = [prompts(sample, settings) for sample in samples]
    notes = notes_on_prompts(texts, model)
    return PreparedController(AttentionController(len(samples)), notes)


PLAIN = Method(
    title="Target prompt",
    paper="Ho & Salimans, Classifier-Free Diffusion Guidance, 2022",
    equation="equation 6; whatever keeps the picture is the inversion's",
    settings=PlainSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(),
)
