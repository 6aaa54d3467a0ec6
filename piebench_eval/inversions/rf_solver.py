"""RF-Solver: a flow inverted and sampled by a second-order solver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import InversionGuidance, flow_solver, sampled_by

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class RFSolverSettings(InversionGuidance):
    """Settings of RF-Solver."""


def rf_solver(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: RFSolverSettings
) -> InversionResult:
    """Invert along the flow by RF-Solver's step; both branches are sampled by it.

    Its Taylor expansion takes the velocity's derivative from two evaluations half a step apart, so that the
    terms of the first cancel: x + D v + D^2/2 (v_mid - v) / (D/2) = x + D v_mid, the midpoint rule.
    """
    return sampled_by(flow_solver("midpoint"), model, inputs, schedule, settings)


RF_SOLVER = Inversion(
    title="RF-Solver inversion",
    paper="Wang et al., Taming Rectified Flow for Inversion and Editing, ICML 2025",
    equation="its second-order Taylor expansion, which is the midpoint rule",
    settings=RFSolverSettings,
    invert=rf_solver,
    policies=("classifier_free", "embedded"),
    predicts=("velocity",),
    keeps_features=True,
)
