"""DDIM inversion: the source branch is sampled from the inverted latent, with guidance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from piebench_eval.inversions.base import Inversion
from piebench_eval.quirks import SHIFTED, SettingsWithQuirks
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel


class TrajectorySettings(Settings):
    """Settings of inversions that begin with the reversed sampling trajectory: DDIM's, or a flow's."""

    guidance: float = Field(default=1.0, ge=0, description="guidance scale while inverting; 1 is unguided")
    evaluate_at: Literal["next", "own"] = Field(
        default="next",
        description="the model's time in a step of the inversion: that of the level it leads to, as in "
        "sampling, or the latent's own",
    )
    refinements: int = Field(
        default=0,
        ge=0,
        description="fixed-point iterations per step of the inversion, which make it exact where they "
        "converge; each costs as much as the step",
    )


class DDIMSettings(TrajectorySettings, SettingsWithQuirks):
    """Settings of the DDIM inversion."""

    source_latents: Literal["own_steps", "reconstruction"] = Field(
        default="own_steps",
        description="the source branch takes its own guided steps, or is set to an unguided reconstruction",
    )

    @field_validator("source_latents", mode="before")
    @classmethod
    def _shifted_is_a_quirk(cls, value: object) -> object:
        if value == SHIFTED:
            raise ValueError(f"use source_latents=reconstruction with quirks.{SHIFTED}=true")
        return value


def ddim_trajectory(
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    settings: TrajectorySettings,
    solver: Solver | None = None,
) -> torch.Tensor:
    """The inverted trajectory of a batch, shared through the model's cache.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the noise schedule: DDIM's, or a flow's.
        settings: how to invert.
        solver: how sampling steps; one evaluation per step if None.

    Returns:
        Latents ``[steps + 1, samples, channels, h, w]``, from level 0 (the image) to level N.
    """
    from piebench_eval.diffusion.ode import invert_ode
    from piebench_eval.diffusion.solvers import DETERMINISTIC

    solver = solver or DETERMINISTIC
    latents, cond, uncond = inputs.latents, inputs.inversion_embeds, inputs.uncond_embeds
    guidance = replace(inputs.guidance, source=settings.guidance)

    def invert() -> dict[str, torch.Tensor]:
        how = settings.evaluate_at, settings.refinements, solver
        return {"latents": invert_ode(model, latents, cond, uncond, schedule, guidance, *how)}

    determinants = {
        "schedule": schedule.key,
        "policy": guidance.policy,
        "solver": solver.name,
        **settings.model_dump(include=set(TrajectorySettings.model_fields)),
    }
    texts = [*cond.parts, *(uncond.parts if guidance.needs_uncond(settings.guidance) else ())]
    return model.cached("ddim", invert, determinants, [latents, *texts], axis=1)["latents"]


def ddim(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: DDIMSettings
) -> InversionResult:
    """Invert by DDIM; the source branch is sampled with guidance, or set to an unguided reconstruction.

    Sampling is guided and the inversion is not, so the source branch drifts away from the image: the error
    that the other inversions repair.
    """
    import torch

    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.ode import sample_ode

    trajectory = ddim_trajectory(model, inputs, schedule, settings)
    if settings.source_latents == "own_steps":
        return InversionResult(trajectory, "sampled")
    cond, uncond = inputs.inversion_embeds, inputs.uncond_embeds
    unguided = replace(inputs.guidance, source=1.0)
    reconstruction = sample_ode(model, trajectory[-1], cond, uncond, schedule, unguided)
    if settings.quirks.shifted_reconstruction:
        # Entry k is what level k - 1 should have; there is none below the image.
        reconstruction = torch.cat([reconstruction[:1], reconstruction[:-1]])
    return InversionResult(reconstruction, "fixed")


DDIM = Inversion(
    title="DDIM inversion",
    paper="Song et al., Denoising Diffusion Implicit Models, ICLR 2021",
    equation="section 4.3, equation 12 reversed",
    settings=DDIMSettings,
    invert=ddim,
    policies=("classifier_free", "embedded"),
    predicts=("epsilon",),
)
