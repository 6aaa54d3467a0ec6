"""The interface of an inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import GuidancePolicy, Predicts
    from piebench_eval.settings import Settings


def goes_with_every_step_count(steps: int, settings: Any) -> str | None:
    """The default ``Inversion.problem``: None."""
    return None


@dataclass(frozen=True)
class Inversion:
    """An inversion: its name in print, its settings and its function.

    Attributes:
        title: its name in print.
        paper: where it was published.
        equation: its place in the paper.
        settings: the recipe section that it reads; every field has a default.
        invert: ``(model, inputs, schedule, settings) -> InversionResult`` for a batch; its settings are an
            instance of ``settings``. It evaluates the model by ``model.predict`` alone, and shares expensive
            work by ``model.cached``.
        problem: ``(steps, settings)`` -> why it cannot invert with so many sampling steps, or None.
        predicts: what the models predict that it works with.
        keeps_features: whether it keeps ``EditInputs.features``, as those do that begin with
            ``inverted_trajectory``.
        coupled: whether its solver is, see ``Solver``.
        value_texts: whether its result has ``values``, which a family has to take.
        policies: the ways of guidance that it works with; ``embedded`` if its evaluations give the model a
            scale, as ``diffusion.ode.predict_guided`` does.
        caution: ``(guidance, source_guidance)`` -> how these scales of edit and source branch are not those
            that its authors edit with, and the remedy, for a warning at planning; or None.
        negative_prompt: value of a method's setting of that name that its authors edit with, for such a
            warning; None if they edit with the default.
        empty_means: sampling steps -> by name, what its settings are with so many if they are empty; None if
            none is ever empty, or it says nothing of that.

    To count evaluations before a run (``--dry-run``, time left), ``invert`` is called with a dummy model: on
    the CPU, without denoiser, autoencoder and text encoder. Its ``predict`` returns random noise, latents are
    ``[1, 4, 8, 8]`` and text embeddings ``[1, 77, 1]``. So the number of evaluations must not depend on
    the noise, except that an optimisation can stop early.
    """

    title: str
    paper: str
    equation: str
    settings: type[Settings]
    invert: Callable[[DiffusionModel, EditInputs, Schedule, Any], InversionResult]
    problem: Callable[[int, Any], str | None] = goes_with_every_step_count
    predicts: tuple[Predicts, ...] = ("epsilon", "velocity")
    policies: tuple[GuidancePolicy, ...] = ("classifier_free",)
    caution: Callable[[float, float], str | None] | None = None
    keeps_features: bool = False
    coupled: bool = False
    value_texts: bool = False
    negative_prompt: str | None = None
    empty_means: Callable[[int], Mapping[str, Any]] | None = None
