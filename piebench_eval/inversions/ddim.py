"""DDIM inversion: the source branch samples its own way back from the inverted latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.registry import Settings

if TYPE_CHECKING:
    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.diffusion.edit_loop import EditInputs, SourcePath
    from piebench_eval.diffusion.schedule import Schedule


class DDIMSettings(Settings):
    """Settings of the DDIM inversion."""

    guidance: float = Field(default=1.0, ge=0, description="guidance scale while inverting; 1 is unguided")


def ddim(backbone: Backbone, inputs: EditInputs, schedule: Schedule, settings: DDIMSettings) -> SourcePath:
    """Invert by DDIM and let the source branch take its own guided steps.

    The steps back are guided and the steps up were not, so the source branch drifts away from the picture:
    the error that the other inversions repair.
    """
    from piebench_eval.diffusion.ddim import ddim_invert
    from piebench_eval.diffusion.edit_loop import SourcePath

    trajectory = ddim_invert(
        backbone, inputs.latents, inputs.source, inputs.uncond, schedule, settings.guidance
    )
    return SourcePath(trajectory, pinned=False)


DDIM = Inversion(
    title="DDIM inversion",
    paper="Song et al., Denoising Diffusion Implicit Models, ICLR 2021",
    equation="section 4.3, equation 12 reversed",
    settings=DDIMSettings,
    invert=ddim,
)
