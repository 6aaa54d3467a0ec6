"""DDIM inversion: the source branch is sampled from the inverted latent, with guidance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import RegularisedSettings, inverted_trajectory, inverting_schedule
from piebench_eval.quirks import SHIFTED, SettingsWithQuirks

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class DDIMSettings(RegularisedSettings, SettingsWithQuirks):
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

    along = inverting_schedule(model, schedule, settings)
    trajectory = inverted_trajectory(model, inputs, along, settings)
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
