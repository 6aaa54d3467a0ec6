"""FireFlow: a flow inverted and sampled by the midpoint rule for the price of Euler's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import TrajectorySettings, flow_solver, inverted_trajectory
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class FireFlowSettings(Settings):
    """Settings of FireFlow."""

    guidance: float = Field(default=1.0, ge=0, description="guidance scale while inverting; 1 is unguided")


def fireflow(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: FireFlowSettings
) -> InversionResult:
    """Invert along the flow by FireFlow's step; both branches are sampled by it.

    Half steps go along the middle velocity of the step before, so that N steps have N + 1 evaluations. What
    was found last while inverting is not carried over to sampling.
    """
    from piebench_eval.diffusion.loop import InversionResult

    solver = flow_solver("fireflow")
    reversal = TrajectorySettings(guidance=settings.guidance, evaluate_at="own")
    trajectory = inverted_trajectory(model, inputs, schedule, reversal, solver)
    return InversionResult(trajectory, "sampled", solver=solver)


FIREFLOW = Inversion(
    title="FireFlow inversion",
    paper="Deng et al., FireFlow: Fast Inversion of Rectified Flow for Image Semantic Editing, ICML 2025",
    equation="its modified midpoint rule",
    settings=FireFlowSettings,
    invert=fireflow,
    policies=("classifier_free", "embedded"),
    predicts=("velocity",),
    keeps_features=True,
)
