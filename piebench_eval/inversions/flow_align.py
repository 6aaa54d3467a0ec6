"""FlowAlign: FlowEdit with a pull of the target's predicted picture to the source's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retraced
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class FlowAlignSettings(Settings):
    """Settings of FlowAlign."""

    weight: float = Field(
        default=0.01,
        ge=0,
        description="share of the difference between the predicted pictures that each step adds",
    )


def flow_align(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: FlowAlignSettings
) -> InversionResult:
    """Noise the image independently to every level, and let the offsets of FlowAlign's step retrace that.

    Its step is x + D v - w x0, with the predicted picture x0. Of target p and source q, with the source's
    offset: D (v_p - v_q) + w (x0_q - x0_p), as published. There the source is not guided, and the target is
    guided away from the source prompt: ``source_guidance: 1``, method ``plain`` with its
    ``negative_prompt: source``.
    """
    from piebench_eval.diffusion.solvers import aligned

    noise = drawn_noise(inputs, schedule.steps).flip(0)  # the noisiest level's is drawn first
    levels = [inputs.latents, *(schedule.noised(inputs.latents, n, k) for k, n in enumerate(noise, 1))]
    weight = settings.weight
    how = model, inputs, schedule, aligned(weight), levels, inputs.guidance
    return retraced("flow_align", *how, {"weight": weight})


def caution(guidance: float, source_guidance: float) -> str | None:
    """A guided source."""
    if source_guidance == 1:
        return None
    return (
        f"flow_align guides the source by {source_guidance:g}, which its authors' code does not: --set "
        "source_guidance=1, or --config flowalign-sd3"
    )


FLOW_ALIGN = Inversion(
    title="FlowAlign",
    paper="Kim et al., FlowAlign: Trajectory-Regularized, Inversion-Free Flow-based Image Editing, 2025",
    equation="its update with source consistency, as offsets; published with source_guidance=1 and the "
    "method plain with negative_prompt=source",
    settings=FlowAlignSettings,
    invert=flow_align,
    policies=("classifier_free", "embedded"),
    predicts=("velocity",),
    caution=caution,
    negative_prompt="source",
)
