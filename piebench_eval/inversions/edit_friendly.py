"""Edit-friendly DDPM inversion: independently noised images, and the noise maps between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retraced
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


_SKIPPED_SHARE = 12 / 50


class EditFriendlySettings(Settings):
    """Settings of edit-friendly DDPM inversion."""

    skip: int | None = Field(
        default=None,
        ge=0,
        description="how many of the noisiest steps are left out (T_skip); 12 of 50, and that share of "
        "other step counts, if empty",
    )


def edit_friendly(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: EditFriendlySettings
) -> InversionResult:
    """Noise the image to every level independently, with the noise maps between them (algorithm 1).

    Sampled with these maps and without guidance, the source branch reproduces the noised images, so it is set
    to them. The map of the last step is zero, so the branch does not end exactly at the image.

    Along a flow the maps are the offsets of Euler's steps, that of the last step included: FlowEdit's update
    (Kulikov et al., ICCV 2025, equation 6) with one draw per level. There the source has a guidance scale of
    its own, 1 unless the recipe says another.
    """
    from piebench_eval.diffusion.schedules import DDIMSchedule
    from piebench_eval.diffusion.solvers import ANCESTRAL, DETERMINISTIC

    skip = int(_SKIPPED_SHARE * schedule.steps) if settings.skip is None else settings.skip
    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)
    noise = drawn_noise(inputs, schedule.steps - skip)
    levels = [inputs.latents, *(schedule.noised(inputs.latents, n, t) for t, n in enumerate(noise, 1))]
    guidance = replace(inputs.guidance, source=1.0)
    if isinstance(schedule, DDIMSchedule):
        how = model, inputs, schedule, ANCESTRAL, levels, guidance
        return retraced("edit_friendly", *how, last_level=2, ends_freely=True)
    if inputs.guidance.source is not None:
        guidance = inputs.guidance
    return retraced("edit_friendly", model, inputs, schedule, DETERMINISTIC, levels, guidance)


def problem(steps: int, settings: EditFriendlySettings) -> str | None:
    """A ``skip`` that leaves no step."""
    skip = settings.skip
    if skip is None or skip < steps:
        return None
    return f"inversion.edit_friendly.skip={skip}: leaves none of {steps} steps"


EDIT_FRIENDLY = Inversion(
    title="Edit-friendly DDPM inversion",
    paper="Huberman-Spiegelglas et al., An Edit Friendly DDPM Noise Space, CVPR 2024",
    equation="equations 5 and 6, algorithm 1",
    settings=EditFriendlySettings,
    invert=edit_friendly,
    policies=("classifier_free", "embedded"),
    problem=problem,
)
