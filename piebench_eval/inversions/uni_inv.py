"""Uni-Inv: a flow inverted with velocities of the points that it leads to."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import InversionGuidance, sampled_by

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class UniInvSettings(InversionGuidance):
    """Settings of Uni-Inv."""

    alpha: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of the steps that is inverted and sampled, from the image; less keeps more of it",
    )
    alpha_rounds: Literal["half_even", "down"] = Field(
        default="half_even",
        description="how alpha times the steps becomes a whole number: to the nearest, as UniEdit-Flow does "
        "for FLUX, or down, as its schedulers for diffusers do, by which it runs Stable Diffusion 3",
    )
    zero_start: bool = Field(
        default=False,
        description="the velocity before the first step is zero, not one more evaluation at the image",
    )


def uni_inv(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: UniInvSettings
) -> InversionResult:
    """Invert along the flow by Uni-Inv; the source branch is sampled back by Euler's steps.

    Each step's velocity is that of the point where the step before would have led on to, at that level's
    time: near what sampling sees there. m steps have m + 1 evaluations, m with ``zero_start``.
    """
    from piebench_eval.diffusion.solvers import UNI_INV, UNI_INV_FROM_ZERO

    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)
    solver = UNI_INV_FROM_ZERO if settings.zero_start else UNI_INV
    levels = inverted_steps(schedule.steps, settings)
    return sampled_by(solver, model, inputs, schedule, settings, levels)


def inverted_steps(steps: int, settings: UniInvSettings) -> int:
    """How many of the steps are inverted.

    >>> [inverted_steps(8, UniInvSettings(alpha=0.6, alpha_rounds=way)) for way in ("half_even", "down")]
    [5, 4]
    """
    return floor(settings.alpha * steps) if settings.alpha_rounds == "down" else round(settings.alpha * steps)


def problem(steps: int, settings: UniInvSettings) -> str | None:
    """An ``alpha`` that leaves no step."""
    if inverted_steps(steps, settings):
        return None
    return f"inversion.uni_inv.alpha={settings.alpha}: leaves none of {steps} steps"


UNI_INV = Inversion(
    title="Uni-Inv",
    paper="Jiao et al., UniEdit-Flow: Unleashing Inversion and Editing in the Era of Flow Models, 2025",
    equation="Uni-Inv, its predictor-corrector step",
    settings=UniInvSettings,
    invert=uni_inv,
    policies=("classifier_free", "embedded"),
    problem=problem,
    predicts=("velocity",),
    keeps_features=True,
)
