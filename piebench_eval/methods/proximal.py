"""Proximal guidance: Prompt-to-Prompt that follows the guidance only where it says much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.methods.base import Method, PreparedController
from piebench_eval.methods.p2p import P2PSettings, prepare_parts, problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel


class ProximalSettings(P2PSettings):
    """Settings of Prompt-to-Prompt with proximal guidance."""

    quantile: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of a sample's guidance differences (both branches) that counts as small",
    )
    shrink: Literal["soft", "hard"] = Field(
        default="soft",
        description="soft takes the threshold off the larger differences too, as the paper's code does "
        "though it calls the option l0; hard keeps them whole",
    )


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: ProximalSettings
) -> PreparedController:
    """Set up Prompt-to-Prompt and the threshold on top of it."""
    from piebench_eval.methods.proximal_controller import ProximalController

    parts, notes = prepare_parts(samples, model, steps, settings)
    return PreparedController(ProximalController(*parts, settings), notes)


PROXIMAL = Method(
    title="Prompt-to-Prompt with proximal guidance",
    paper="Han et al., Improving Tuning-Free Real Image Editing with Proximal Guidance, WACV 2024",
    equation="the proximal operator, applied to the guidance difference",
    settings=ProximalSettings,
    prepare=prepare,
    problem=problem,
)
