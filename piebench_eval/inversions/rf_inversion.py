"""RF-Inversion: the flow's equation upwards, controlled so that it ends near a draw of noise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.inversions.trajectory import shared_trajectory
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import FlowSchedule
    from piebench_eval.models.base import DiffusionModel


class RFInversionSettings(Settings):
    """Settings of RF-Inversion's forward process."""

    guidance: float = Field(
        default=1.0,
        ge=0,
        description="guidance scale while inverting; 0 in the published code for FLUX, as the model's input",
    )
    gamma: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the controlled velocity, which leads to the noise; 0 is the flow alone",
    )
    step_order: Literal["ascending", "descending"] = Field(
        default="ascending",
        description="ascending: each step leads from a level to the next, evaluated at its time; descending: "
        "steps have the sizes of sampling's, in that order, and step i of M is evaluated at i / (M + 1), as "
        "in the published code",
    )
    strength: float = Field(
        default=1.0, gt=0, le=1, description="share of the steps that is inverted and sampled"
    )
    sampler: Literal["ode", "sde"] = Field(
        default="ode",
        description="how both branches are sampled: along the flow, or along its stochastic equation, whose "
        "steps add noise, each but the first, as the authors' own pipeline does unless told otherwise",
    )


def rf_inversion(
    model: DiffusionModel, inputs: EditInputs, schedule: FlowSchedule, settings: RFInversionSettings
) -> InversionResult:
    """Invert along the controlled flow; the source branch is sampled back with the guidance of the edit."""
    guidance = replace(inputs.guidance, source=settings.guidance)

    def invert() -> torch.Tensor:
        return controlled_trajectory(model, inputs, schedule, settings)

    determinants = {"schedule": schedule.key, **inputs.drawing, "policy": guidance.policy}
    determinants |= settings.model_dump(exclude={"sampler"})
    uncond = inputs.uncond_embeds.parts if guidance.needs_uncond(settings.guidance) else ()
    tensors = [inputs.latents, *inputs.inversion_embeds.parts, *uncond]
    trajectory = shared_trajectory(model, inputs, "rf_inversion", invert, determinants, tensors)
    return sampled_from(trajectory, inputs, schedule, settings)


def sampled_from(
    trajectory: torch.Tensor, inputs: EditInputs, schedule: FlowSchedule, settings: RFInversionSettings
) -> InversionResult:
    """Both branches sampled from a trajectory's end, by Euler's or by stochastic steps.

    The stochastic steps' noise is drawn after that which the inversion leads to, one draw for each step; that
    of the first is not used, which is Euler's.
    """
    import torch

    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.solvers import stochastic

    if settings.sampler == "ode":
        return InversionResult(trajectory, "sampled")
    steps = len(trajectory) - 1
    _, unused, *draws = drawn_noise(inputs, 1 + steps)
    added = [schedule.sde_sigma(level) * draw for level, draw in enumerate(reversed(draws), start=1)]
    offsets = torch.stack([*added, torch.zeros_like(unused)])
    return InversionResult(trajectory, "sampled", offsets=offsets, solver=stochastic(steps))


def controlled_trajectory(
    model: DiffusionModel, inputs: EditInputs, schedule: FlowSchedule, settings: RFInversionSettings
) -> torch.Tensor:
    """Follow u + gamma ((y1 - y) / (1 - sigma) - u) upwards, u the model's velocity and y1 a draw of noise.

    Under ``step_order: descending``, the sizes of steps and the times at which they are evaluated have
    nothing to do with each other, except that the steps add up. What is kept of attention in step i is then
    for the sampling step of the same place.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the flow's schedule.
        settings: the inversion's section of the recipe.

    Returns:
        Latents ``[steps + 1, samples, channels, h, w]``, from the image on.
    """
    import torch

    from piebench_eval.diffusion.ode import predict_guided

    texts = inputs.inversion_embeds, inputs.uncond_embeds
    guidance = replace(inputs.guidance, source=settings.guidance)
    (noise,) = drawn_noise(inputs, 1)
    steps = inverted_steps(schedule.steps, settings)
    trajectory = [inputs.latents]
    if inputs.features is not None:
        inputs.features.begin_inversion(steps)
    for index in range(steps):
        y, level, sigma = trajectory[-1], index + 1, schedule.sigmas[index]
        if settings.step_order == "descending":
            level, sigma = steps - index, index / (steps + 1)
        if inputs.features is not None:
            inputs.features.begin_evaluation(index + 1)
        with torch.no_grad():
            output = predict_guided(model, y, schedule.time_of(sigma), *texts, guidance)
        to_noise = schedule.velocity(y, noise, sigma)
        output = output + settings.gamma * (to_noise - output)
        trajectory.append(schedule.inverse_step(y, output, level))
    return torch.stack(trajectory)


def inverted_steps(steps: int, settings: RFInversionSettings) -> int:
    """How many of the steps are inverted, rounded up as in the published code.

    >>> inverted_steps(12, RFInversionSettings(strength=0.75))
    9
    """
    return steps - int(max(steps - min(steps * settings.strength, steps), 0))


RF_INVERSION = Inversion(
    title="RF-Inversion",
    paper="Rout et al., Semantic Image Inversion and Editing using Rectified Stochastic Differential "
    "Equations, ICLR 2025",
    equation="the controlled forward equation",
    settings=RFInversionSettings,
    invert=rf_inversion,  # type: ignore[arg-type]
    policies=("classifier_free", "embedded"),
    predicts=("velocity",),
    keeps_features=True,
)
