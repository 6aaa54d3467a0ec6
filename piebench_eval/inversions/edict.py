"""EDICT: two coupled latents, each stepped by the noise predicted at the other, which is undone exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import TrajectorySettings, inverted_trajectory
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

_PUBLISHED_GUIDANCE = 3


class EDICTSettings(Settings):
    """Settings of EDICT; the defaults are its paper's code's."""

    mixing: float = Field(
        default=0.93,
        gt=0,
        le=1,
        description="share p that each of both latents keeps of itself when they are mixed after a step",
    )
    strength: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="share of the sampling steps that are inverted and taken, rounded down; the noisiest are "
        "left out",
    )
    source_latents: Literal["inverted", "edited"] = Field(
        default="inverted",
        description="the source branch is where the inversion was, or its rows are evaluated at the latents "
        "that are edited, as in the code of EDICT with Prompt-to-Prompt, where it has no latents of its own",
    )


def steps_taken(steps: int, strength: float) -> int:
    """How many of the sampling steps are taken, which is also the level that the inversion leads to.

    >>> steps_taken(50, 0.8)
    40
    """
    return int(strength * steps)


def problem(steps: int, settings: EDICTSettings) -> str | None:
    """Why it cannot invert with so many sampling steps: none would be taken."""
    if steps_taken(steps, settings.strength):
        return None
    return f"inversion.strength={settings.strength:g}: takes none of {steps} steps; raise it, or steps"


def caution(guidance: float, source_guidance: float) -> str | None:
    """Other scales than the published code's, which inverts and edits with one."""
    if guidance == source_guidance == _PUBLISHED_GUIDANCE:
        return None
    return (
        f"edict has the guidance scale {guidance:g}, and {source_guidance:g} in the inversion; its authors' "
        "code has 3 in both: --guidance 3, or --config edict"
    )


def edict(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: EDICTSettings
) -> InversionResult:
    """Invert by EDICT (equation 15), with the guidance that the source branch is sampled with.

    Sampling undoes every operation of the inversion, up to rounding, so that the source branch is known to
    lead along the trajectory: any other scale would not be undone.
    """
    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.solvers import coupled

    levels = steps_taken(schedule.steps, settings.strength)
    solver = coupled(levels, settings.mixing)
    pair = replace(inputs, latents=torch.cat([inputs.latents, inputs.latents], dim=1).double())
    reversal = TrajectorySettings(guidance=inputs.guidance.of_source)
    trajectory = inverted_trajectory(model, pair, schedule, reversal, solver, levels)
    mode: Literal["replayed", "edited"] = "replayed" if settings.source_latents == "inverted" else "edited"
    return InversionResult(trajectory, mode, solver=solver)


EDICT = Inversion(
    title="EDICT",
    paper="Wallace et al., EDICT: Exact Diffusion Inversion via Coupled Transformations, CVPR 2023",
    equation="equations 14 and 15",
    settings=EDICTSettings,
    invert=edict,
    problem=problem,
    predicts=("epsilon",),
    caution=caution,
    coupled=True,
)
