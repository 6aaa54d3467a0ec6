"""Direct Inversion: the source branch is put back on the inversion's latents after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.ddim import TrajectorySettings, trajectory

if TYPE_CHECKING:
    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.diffusion.edit_loop import EditInputs, SourcePath
    from piebench_eval.diffusion.schedule import Schedule


class DirectSettings(TrajectorySettings):
    """Settings of Direct Inversion."""


def direct(
    backbone: Backbone, inputs: EditInputs, schedule: Schedule, settings: DirectSettings
) -> SourcePath:
    """Invert by DDIM and pin the source branch to the trajectory.

    The paper adds to every source step its distance to the inverted latent, z*_{t-1} - DDIM(z_t). A step
    plus its distance to a place is that place, so the offsets and the steps they mend need not be computed.
    """
    from piebench_eval.diffusion.edit_loop import SourcePath

    return SourcePath(trajectory(backbone, inputs, schedule, settings), "pinned")


DIRECT = Inversion(
    title="Direct Inversion",
    paper="Ju et al., PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code, ICLR 2024",
    equation="the offset z*_{t-1} - z_{t-1}, added to the source branch after each step",
    settings=DirectSettings,
    invert=direct,
)
