"""Edit-friendly DDPM inversion: independently noised images, and the noise maps between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retracing_offsets, source_step
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import DDIMSchedule, Schedule
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
    """Noise the image to every level independently and extract the noise maps between them.

    Sampled with these maps and without guidance, the source branch reproduces the noised images, so it is set
    to them. The map of the last step is zero, so the branch does not end exactly at the image.

    Along a flow the maps are the offsets of Euler's steps, that of the last step included: FlowEdit's update
    (Kulikov et al., ICCV 2025, equation 6) with one draw per level. There the source has a guidance scale of
    its own, 1 unless the recipe says another.
    """
    import torch

    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.schedules import DDIMSchedule
    from piebench_eval.diffusion.solvers import ANCESTRAL, DETERMINISTIC

    skip = int(_SKIPPED_SHARE * schedule.steps) if settings.skip is None else settings.skip
    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)
    steps = schedule.steps - skip

    along_flow = not isinstance(schedule, DDIMSchedule)
    of_flow = inputs.guidance if inputs.guidance.source is not None else replace(inputs.guidance, source=1.0)

    def extract() -> dict[str, torch.Tensor]:
        noise = drawn_noise(inputs, steps)
        levels = [inputs.latents, *(schedule.noised(inputs.latents, n, t) for t, n in enumerate(noise, 1))]
        if isinstance(schedule, DDIMSchedule):
            xs, offsets = noise_maps(model, inputs, schedule, levels)
            return {"levels": xs, "offsets": offsets}
        offsets = retracing_offsets(model, inputs, schedule, DETERMINISTIC, levels, of_flow)
        return {"levels": torch.stack(levels), "offsets": offsets}

    determinants = {"schedule": schedule.key, **inputs.drawing, "steps": steps}
    determinants["policy"] = inputs.guidance.policy
    tensors = [inputs.latents, *inputs.inversion_embeds.parts]
    if along_flow:
        determinants["source_guidance"] = of_flow.source
        tensors += inputs.uncond_embeds.parts
    found = model.cached("edit_friendly", extract, determinants, tensors, axis=1)
    solver = DETERMINISTIC if along_flow else ANCESTRAL
    return InversionResult(found["levels"], "fixed", offsets=found["offsets"], solver=solver)


def problem(steps: int, settings: EditFriendlySettings) -> str | None:
    """A ``skip`` that leaves no step."""
    skip = settings.skip
    if skip is None or skip < steps:
        return None
    return f"inversion.edit_friendly.skip={skip}: leaves none of {steps} steps"


def noise_maps(
    model: DiffusionModel, inputs: EditInputs, schedule: DDIMSchedule, levels: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise maps between noised images (algorithm 1), as what they add to the steps.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the noise schedule.
        levels: x, the noised images by level, each ``[samples, 4, h, w]``.

    Returns:
        x, as the maps retrace it ``[steps + 1, samples, 4, h, w]``; and sigma z, entry k for the step from
        level k + 1 to level k, ``[steps, samples, 4, h, w]``.
    """
    import torch

    from piebench_eval.diffusion.solvers import ANCESTRAL

    xs = list(levels)
    offsets = [torch.zeros_like(inputs.latents)] * (len(xs) - 1)
    unguided = replace(inputs.guidance, source=1.0)
    for t in reversed(range(1, len(xs))):
        mu = source_step(model, inputs, schedule, ANCESTRAL, xs[t], t, unguided)
        if t > 1:
            sigma = schedule.sigma(t)
            offsets[t - 1] = sigma * ((xs[t - 1] - mu) / sigma)
        # Not the noised image itself but the step's result with z: rounding errors must not add up.
        xs[t - 1] = mu + offsets[t - 1]
    return torch.stack(xs), torch.stack(offsets)


EDIT_FRIENDLY = Inversion(
    title="Edit-friendly DDPM inversion",
    paper="Huberman-Spiegelglas et al., An Edit Friendly DDPM Noise Space, CVPR 2024",
    equation="equations 5 and 6, algorithm 1",
    settings=EditFriendlySettings,
    invert=edit_friendly,
    policies=("classifier_free", "embedded"),
    problem=problem,
)
