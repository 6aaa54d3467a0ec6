"""Blended latent diffusion: the masked part is sampled from noise, and the rest is the noised picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.editors.base import Editor
from piebench_eval.methods.base import Prompts, notes_on_prompts
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class BlendedLatentDiffusionSettings(Settings):
    """Settings of blended latent diffusion."""

    blending_start: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="share of the sampling steps that are left out at the beginning, rounded down; sampling "
        "still begins with noise alone",
    )


class BlendController(AttentionController):
    """After each step, the target keeps to the masked part, and the source fills the rest.

    Args:
        masks: ``[samples, 1, h, w]``, 1 where the picture is edited.
    """

    def __init__(self, masks: torch.Tensor):
        super().__init__(len(masks))
        self._masks = masks

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Blend: mask * target + (1 - mask) * source."""
        self.note_mask(range(self.num_samples), self._masks)
        return self._masks * target + (1 - self._masks) * source


def steps_taken(steps: int, blending_start: float) -> int:
    """How many of the sampling steps are taken, which is also the level that sampling begins at.

    >>> steps_taken(50, 0.25)
    38
    """
    return steps - int(steps * blending_start)


def edit_latents(
    model: DiffusionModel,
    samples: Sequence[Sample],
    inputs: EditInputs,
    schedule: Schedule,
    settings: BlendedLatentDiffusionSettings,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Sample with the target prompt, and after each step put the noised picture around the masked part.

    The picture is noised to the level that the step leads from, as in the published algorithm, and by a new
    draw each time; the first draw of the seed is what sampling begins with.

    Returns:
        Latents ``[samples, channels, h, w]``, and for each sample notes on its prompts.
    """
    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.loop import edit
    from piebench_eval.inversions.offsets import drawn_noise

    assert inputs.masks is not None, "the editor declares that it needs the masks"
    start = steps_taken(schedule.steps, settings.blending_start)
    begin, *further = drawn_noise(inputs, 1 + start)
    levels = range(start, 0, -1)
    # Entry k of the trajectory is what the source is after the step from level k + 1.
    noised = [
        schedule.noised(inputs.latents, noise, level) for level, noise in zip(levels, further, strict=True)
    ]
    source = InversionResult(torch.stack([*reversed(noised), begin]), "fixed")
    latents = edit(model, inputs, source, BlendController(inputs.masks), schedule)
    return latents, notes_on_prompts([prompts(sample, settings) for sample in samples], model)


def prompts(sample: Sample, settings: BlendedLatentDiffusionSettings) -> Prompts:
    """The target prompt; nothing reads another."""
    return Prompts("", "", sample.target_prompt)


def evaluations(settings: BlendedLatentDiffusionSettings, common: Any, guidance: Guidance | None) -> int:
    """One or two of every step taken, by the guidance."""
    rows = 2 if guidance is not None and guidance.needs_uncond(guidance.target) else 1
    return rows * steps_taken(common.steps, settings.blending_start)


BLENDED_LATENT_DIFFUSION = Editor(
    title="Blended Latent Diffusion",
    paper="Avrahami et al., Blended Latent Diffusion, ACM Transactions on Graphics (SIGGRAPH) 2023",
    equation="algorithm 1",
    settings=BlendedLatentDiffusionSettings,
    prompted_by="target prompt",
    masks="benchmark",
    recipe="blended-latent-diffusion",
    edit_latents=edit_latents,
    prompts=prompts,
    evaluations=evaluations,
    predicts=("epsilon",),
)
