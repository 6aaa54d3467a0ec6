"""DNAEdit's inversion: the noise is corrected, level by level, to where the picture's velocities lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

_SKIPPED_SHARE = 13 / 40


class DNAEditSettings(Settings):
    """Settings of direct noise alignment."""

    skip: int | None = Field(
        default=None,
        ge=0,
        description="how many of the noisiest steps are left out (T_start); 13 of 40, and that share of "
        "other step counts, if empty (4 of 28 for FLUX in its code)",
    )


def dnaedit(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: DNAEditSettings
) -> InversionResult:
    """Go up from the image, each step on the straight line to the noise, and correct that by what is found.

    Where the model is evaluated, x + d, is not where a step begins, x. Sampling adds the same d
    (``InversionResult.input_offsets``), so that the source takes its own steps back along x exactly.
    """
    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.solvers import DETERMINISTIC

    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)
    steps = schedule.steps - skipped_steps(schedule.steps, settings)

    def align() -> dict[str, torch.Tensor]:
        return aligned_noise(model, inputs, schedule, steps)

    how = {"schedule": schedule.key, **inputs.drawing, "steps": steps}
    determinants = {**how, **inputs.guidance.source_key}
    tensors = [inputs.latents, *inputs.inversion_embeds.parts, *inputs.uncond_embeds.parts]
    found = model.cached("dnaedit", align, determinants, tensors, axis=1)
    trajectory, added = found["trajectory"], found["input_offsets"]
    return InversionResult(trajectory, "fixed", input_offsets=added, solver=DETERMINISTIC)


def aligned_noise(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, steps: int
) -> dict[str, torch.Tensor]:
    """Align a draw of noise with the picture, level by level.

    With the shares of noise a of the level that x is at and b of the next one, and the noise n::

        at = x + (b - a) / (1 - a) (n - x)          on the line from x to n
        v = the model's velocity there, at b
        d = at - (x + (b - a) v)                    how far the line is from where the velocity leads
        x = at - d
        n = n - (1 - a) / (b - a) d

    Args:
        model: the model.
        inputs: the batch; its source guidance is applied.
        schedule: the noise schedule.
        steps: up to which level.

    Returns:
        ``trajectory``: x ``[steps + 1, samples, channels, h, w]``, from level 0 (the image) on.
        ``input_offsets``: d, as in ``InversionResult``.
    """
    import torch

    from piebench_eval.diffusion.ode import predict_guided

    texts = inputs.inversion_embeds, inputs.uncond_embeds
    trajectory, offsets, (noise,) = [inputs.latents], [], drawn_noise(inputs, 1)
    for level in range(1, steps + 1):
        x, kept = trajectory[-1], schedule.signal(level - 1)
        share = (kept - schedule.signal(level)) / kept
        at = x + share * (noise - x)
        with torch.no_grad():
            output = predict_guided(model, at, schedule.timestep(level), *texts, inputs.guidance)
        trajectory.append(schedule.inverse_step(x, output, level))
        offsets.append(at - trajectory[-1])
        noise = noise - offsets[-1] / share
    return {"trajectory": torch.stack(trajectory), "input_offsets": torch.stack(offsets)[:, :, None]}


def skipped_steps(steps: int, settings: DNAEditSettings) -> int:
    """How many of the noisiest steps are left out."""
    return int(_SKIPPED_SHARE * steps) if settings.skip is None else settings.skip


def problem(steps: int, settings: DNAEditSettings) -> str | None:
    """A ``skip`` that leaves no step."""
    if settings.skip is None or settings.skip < steps:
        return None
    return f"inversion.dnaedit.skip={settings.skip}: leaves none of {steps} steps; make it smaller"


def caution(guidance: float, source_guidance: float) -> str | None:
    """A guided source."""
    if source_guidance == 1:
        return None
    return (
        f"dnaedit guides the source by {source_guidance:g}, which its authors' code does not (--config "
        "dnaedit-flux with FLUX.1): --set source_guidance=1, or --config dnaedit-sd3"
    )


DNAEDIT = Inversion(
    title="DNAEdit (direct noise alignment)",
    paper="Xie et al., DNAEdit: Direct Noise Alignment for Text-Guided Rectified Flow Editing, NeurIPS 2025",
    equation="direct noise alignment; published with source_guidance=1 and the method dnaedit",
    settings=DNAEditSettings,
    invert=dnaedit,
    policies=("classifier_free", "embedded"),
    problem=problem,
    predicts=("velocity",),
    caution=caution,
    empty_means=lambda steps: {"skip": skipped_steps(steps, DNAEditSettings())},
)
