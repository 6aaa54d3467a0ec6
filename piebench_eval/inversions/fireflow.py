"""FireFlow: a flow inverted and sampled by the midpoint rule for the price of Euler's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import InversionGuidance, flow_solver, sampled_by

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class FireFlowSettings(InversionGuidance):
    """Settings of FireFlow."""


def fireflow(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: FireFlowSettings
) -> InversionResult:
    """Invert along the flow by FireFlow's step; both branches are sampled by it.

    Half steps go along the middle velocity of the step before, so that N steps have N + 1 evaluations. What
    was found last while inverting is not carried over to sampling.
    """
    return sampled_by(flow_solver("fireflow"), model, inputs, schedule, settings)


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
