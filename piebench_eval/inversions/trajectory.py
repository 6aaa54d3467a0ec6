"""The sampling trajectory reversed, DDIM's or a flow's: where most inversions begin."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel

FlowSolver = Literal["euler", "midpoint", "fireflow", "uni_inv"]
"""Solvers of a flow's equation, by their names in recipes."""


class InversionGuidance(Settings):
    """The setting of every inversion that begins with the reversed sampling trajectory."""

    guidance: float = Field(default=1.0, ge=0, description="guidance scale while inverting; 1 is unguided")


class TrajectorySettings(InversionGuidance):
    """Settings of one that chooses how a step is reversed."""

    evaluate_at: Literal["next", "own"] = Field(
        default="next",
        description="the model's time in a step of the inversion: that of the level it leads to, as in "
        "sampling, or the latent's own",
    )
    refinements: int = Field(
        default=0,
        ge=0,
        description="fixed-point iterations per step of the inversion, which make it exact where they "
        "converge; each costs as much as the step",
    )


class RegularisedSettings(TrajectorySettings):
    """Settings of one that can invert as Pix2Pix-Zero does (Parmar et al., 2023)."""

    noise_levels: Literal["sampling", "cleaner"] = Field(
        default="sampling",
        description="those of the inversion are sampling's; or cleaner by one training timestep, the last "
        "one the noisiest of all, as in Pix2Pix-Zero's code, where sampling begins as if that were its own",
    )
    regularisation_rounds: int = Field(
        default=0,
        ge=0,
        description="rounds in which the noise predicted in a step of the inversion is made more like noise, "
        "as Pix2Pix-Zero does 5 times; without evaluations of the model",
    )
    regularisation_rolls: int = Field(
        default=5, ge=1, description="shifts of the noise in a round, by which its correlation is lowered"
    )
    correlation_weight: float = Field(
        default=20.0, ge=0, description="factor on the gradient of the noise's correlation, in a round"
    )
    divergence_weight: float = Field(
        default=20.0,
        ge=0,
        description="factor on the gradient of its divergence from a standard normal distribution",
    )


def flow_solver(name: FlowSolver) -> Solver:
    """A solver by its name in recipes."""
    from piebench_eval.diffusion import solvers

    found: dict[str, Solver] = {
        "euler": solvers.DETERMINISTIC,
        "midpoint": solvers.MIDPOINT,
        "fireflow": solvers.FIREFLOW,
        "uni_inv": solvers.UNI_INV,
    }
    return found[name]


def inverted_trajectory(
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    settings: TrajectorySettings,
    solver: Solver | None = None,
    levels: int | None = None,
) -> torch.Tensor:
    """The inverted trajectory of a batch, shared through the model's cache.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the noise schedule: DDIM's, or a flow's.
        settings: how to invert.
        solver: how sampling steps; one evaluation per step if None.
        levels: up to which level; to the schedule's last if None.

    Returns:
        Latents ``[levels + 1, samples, channels, h, w]``, from level 0 (the image) on.
    """
    from piebench_eval.diffusion.ode import invert_ode
    from piebench_eval.diffusion.solvers import DETERMINISTIC

    solver, levels = solver or DETERMINISTIC, schedule.steps if levels is None else levels
    latents, cond, uncond = inputs.latents, inputs.inversion_embeds, inputs.uncond_embeds
    guidance = replace(inputs.guidance, source=settings.guidance)

    how = settings.evaluate_at, settings.refinements, solver, levels

    def invert() -> torch.Tensor:
        regularise = _regulariser(inputs, settings)
        begin = model, latents, cond, uncond, schedule, guidance
        return invert_ode(*begin, *how, features=inputs.features, regularise=regularise)

    determinants = {
        "schedule": schedule.key,
        "policy": guidance.policy,
        "solver": solver.name,
        "levels": levels,
        **settings.model_dump(include=set(TrajectorySettings.model_fields)),
        **_regularised_by(inputs, settings),
    }
    texts = [*cond.parts, *(uncond.parts if guidance.needs_uncond(settings.guidance) else ())]
    return shared_trajectory(model, inputs, "ddim", invert, determinants, [latents, *texts])


def _regularised_by(inputs: EditInputs, settings: TrajectorySettings) -> dict[str, Any]:
    """What regularised noise depends on, for cache keys; nothing if it is not regularised."""
    if not (isinstance(settings, RegularisedSettings) and settings.regularisation_rounds):
        return {}
    own = set(RegularisedSettings.model_fields) - {*TrajectorySettings.model_fields, "noise_levels"}
    return {"seed": inputs.seed, **settings.model_dump(include=own)}


def _regulariser(
    inputs: EditInputs, settings: TrajectorySettings
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What makes predicted noise more like noise, with each sample's own shifts; None if nothing does."""
    if not (isinstance(settings, RegularisedSettings) and settings.regularisation_rounds):
        return None
    from random import Random

    from piebench_eval.diffusion.noise_regularisation import regularised

    return partial(
        regularised,
        randoms=[Random(inputs.seed) for _ in inputs.latents],
        rounds=settings.regularisation_rounds,
        rolls=settings.regularisation_rolls,
        correlation_weight=settings.correlation_weight,
        divergence_weight=settings.divergence_weight,
    )


def inverting_schedule(model: DiffusionModel, schedule: Schedule, settings: RegularisedSettings) -> Schedule:
    """The schedule that an inversion steps along: sampling's, or one of cleaner levels (not of a flow's)."""
    from piebench_eval.diffusion.schedules import DDIMSchedule

    if settings.noise_levels == "sampling" or not isinstance(schedule, DDIMSchedule):
        return schedule
    below = [max(time - 1, 0) for time in schedule.timesteps]
    alphas = [model.alphas_cumprod[time] for time in [*below, -1]]
    return replace(schedule, alphas=tuple(map(float, alphas)))


def shared_trajectory(
    model: DiffusionModel,
    inputs: EditInputs,
    kind: str,
    invert: Callable[[], torch.Tensor],
    determinants: Mapping[str, Any],
    tensors: Sequence[torch.Tensor],
) -> torch.Tensor:
    """A trajectory from the model's cache, or computed.

    Where features of its way are kept it is always computed, with attention routed through their memory:
    they are not in the cache.

    Args:
        model: the model.
        inputs: the batch.
        kind: what is computed, for the cache.
        invert: computes the trajectory.
        determinants: plain values that it depends on.
        tensors: tensors that it depends on.

    Returns:
        Latents ``[levels + 1, samples, channels, h, w]``.
    """
    if inputs.features is not None:
        height, width = inputs.latents.shape[-2:]
        with model.attention_through(inputs.features, (height, width)):
            return invert()
    return model.cached(kind, lambda: {"latents": invert()}, determinants, tensors, axis=1)["latents"]


def sampled_by(
    solver: Solver,
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    settings: InversionGuidance,
    levels: int | None = None,
) -> InversionResult:
    """Invert along the flow by a solver, each latent at its own time; both branches are sampled by it.

    Args:
        solver: one that has an inverse.
        model: the model.
        inputs: the batch.
        schedule: the flow's schedule.
        settings: the inversion's section of the recipe.
        levels: up to which level; to the schedule's last if None.
    """
    from piebench_eval.diffusion.inversion_result import InversionResult

    reversal = TrajectorySettings(guidance=settings.guidance, evaluate_at="own")
    trajectory = inverted_trajectory(model, inputs, schedule, reversal, solver, levels)
    return InversionResult(trajectory, "sampled", solver=solver)
