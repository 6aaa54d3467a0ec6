"""Inversion of a flow: its ordinary differential equation reversed; the source branch is sampled back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import TrajectorySettings, flow_solver, inverted_trajectory

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class EulerSettings(TrajectorySettings):
    """Settings of a flow's inversion."""

    solver: Literal["euler", "midpoint"] = Field(
        default="euler",
        description="of the inversion and of both branches' steps; midpoint evaluates the model twice "
        "per step",
    )


def euler(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: EulerSettings
) -> InversionResult:
    """Invert along the flow; the source branch is sampled with the guidance of the edit.

    A model of one or few steps is trained at those steps' times alone; ``evaluate_at: next`` asks it at no
    other. ``docs/inversion-study.md`` has the errors that remain, step count by step count.
    """
    from piebench_eval.diffusion.loop import InversionResult

    solver = flow_solver(settings.solver)
    trajectory = inverted_trajectory(model, inputs, schedule, settings, solver)
    return InversionResult(trajectory, "sampled", solver=solver)


EULER = Inversion(
    title="Euler inversion",
    paper="Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, "
    "ICLR 2023",
    equation="section 2.1: the flow's equation, followed from the image to the noise",
    settings=EulerSettings,
    invert=euler,
    policies=("classifier_free", "embedded"),
    predicts=("velocity",),
    keeps_features=True,
)
