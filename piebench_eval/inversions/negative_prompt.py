"""Negative-prompt inversion: the source prompt takes the place of the empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import TrajectorySettings, inverted_trajectory

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class NegativePromptSettings(TrajectorySettings):
    """Settings of negative-prompt inversion."""


def negative_prompt(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: NegativePromptSettings
) -> InversionResult:
    """Invert by DDIM and guide both branches away from the source prompt.

    The source branch is guided from its prompt to the same prompt, which is no guidance: it is sampled almost
    back along the inversion. The target is guided from the source prompt to its own.
    """
    from piebench_eval.diffusion.loop import InversionResult

    trajectory = inverted_trajectory(model, inputs, schedule, settings)
    prompts = [inputs.inversion_embeds] * schedule.steps
    return InversionResult(
        trajectory, "sampled", uncond_embeds=prompts, uncond_embeds_are_source=inputs.source_is_inversion
    )


NEGATIVE_PROMPT = Inversion(
    title="Negative-prompt inversion",
    paper="Miyake et al., Negative-prompt Inversion, 2023",
    equation="section 3.3: the optimised embedding is approximated by the source prompt's",
    settings=NegativePromptSettings,
    invert=negative_prompt,
    keeps_features=True,
)
