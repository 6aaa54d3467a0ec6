"""Inversion and sampling along a schedule's ordinary differential equation: DDIM's, or a flow's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from piebench_eval.diffusion.guidance import Guidance, guide
from piebench_eval.diffusion.solvers import DETERMINISTIC, Solver
from piebench_eval.models.conditioning import Conditioning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.diffusion.features import FeatureMemory
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Walk
    from piebench_eval.models.base import DiffusionModel

UNGUIDED = Guidance(1.0)


def predict_guided(
    model: DiffusionModel,
    latents: torch.Tensor,
    timestep: float,
    cond: Conditioning,
    uncond: Conditioning,
    guidance: Guidance,
    together: bool = False,
    samples: Sequence[int] | None = None,
) -> torch.Tensor:
    """What the model predicts for latents of the source branch under guidance.

    Args:
        model: the model.
        latents: ``[samples, channels, h, w]``.
        timestep: the model's time.
        cond: of each sample.
        uncond: of each sample, unconditional; read only if the guidance needs it.
        guidance: its source scale is applied.
        together: both rows of each sample in one call, as the edit loop has them, so that it rounds alike.
        samples: places in the batch of the samples that these are; all of them if None.

    Returns:
        Shape of ``latents``.
    """
    samples = range(len(latents)) if samples is None else samples
    scale = guidance.of_source
    if guidance.policy == "embedded":
        return model.predict(latents, timestep, cond.with_guidance(scale), samples)
    if together and guidance.needs_uncond(scale):
        both = torch.cat([latents, latents]), timestep, Conditioning.cat([uncond, cond])
        of_uncond, of_cond = model.predict(*both, [*samples, *samples]).chunk(2)
        return guide(of_uncond, of_cond, scale)
    output = model.predict(latents, timestep, cond, samples)
    if not guidance.needs_uncond(scale):
        return output
    return guide(model.predict(latents, timestep, uncond, samples), output, scale)


def follow(
    walk: Walk, predict: Callable[[torch.Tensor, float], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate a model wherever a solver asks for it in one step.

    Args:
        walk: a solver's step.
        predict: what the model predicts for latents at its time.

    Returns:
        The latents that the step leads to, and the output that the solver was sent last; both
        ``[samples, channels, h, w]``.
    """
    at, time = next(walk)
    while True:
        output = predict(at, time)
        try:
            at, time = walk.send(output)
        except StopIteration as end:
            return end.value, output


@torch.no_grad()
def invert_ode(
    model: DiffusionModel,
    latents: torch.Tensor,
    cond: Conditioning,
    uncond: Conditioning,
    schedule: Schedule,
    guidance: Guidance = UNGUIDED,
    evaluate_at: Literal["next", "own"] = "next",
    refinements: int = 0,
    solver: Solver = DETERMINISTIC,
    levels: int | None = None,
    features: FeatureMemory | None = None,
    regularise: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Invert images to noise: the step of DDIM (section 4.3), or of a solver along a flow, reversed.

    The output for the step from level k - 1 to k is predicted on the latent of level k - 1: the approximation
    that makes the inversion inexact. Refinements predict it as sampling would, from the latent of level k
    found so far; their fixed point is the exact inverse of sampling (Pan et al., AIDI, ICCV 2023).

    Args:
        model: the model.
        latents: encoded images ``[samples, channels, h, w]``.
        cond: of the source prompts, one row per sample.
        uncond: unconditional, likewise; read only if the guidance needs it.
        schedule: the noise schedule.
        guidance: its source scale is applied.
        evaluate_at: the model's time at that latent: of the ``next`` level, k, or of its ``own``.
        refinements: fixed-point iterations per step; each has as many evaluations as a step.
        solver: how sampling steps; one that has an inverse.
        levels: up to which level; to the schedule's last if None.
        features: is told of each evaluation; the model's attention is routed through it by the caller.
        regularise: what each step goes by in place of the output; that itself if None.

    Returns:
        The trajectory ``[levels + 1, samples, channels, h, w]``, from level 0 (the image) on.
    """

    def predict(at: torch.Tensor, time: float) -> torch.Tensor:
        return predict_guided(model, at, time, cond, uncond, guidance, together=solver.coupled)

    def predict_kept(at: torch.Tensor, time: float) -> torch.Tensor:
        if features is not None:
            features.begin_evaluation(len(trajectory))
        output = predict(at, time)
        return output if regularise is None else regularise(output)

    levels = schedule.steps if levels is None else levels
    if features is not None:
        features.begin_inversion(levels)
    trajectory, output = [latents], None
    for k in range(1, levels + 1):
        time = schedule.timestep(k if evaluate_at == "next" else k - 1)
        z = trajectory[-1]
        found, output = follow(solver.inverse_walk(schedule, z, k, time, output), predict_kept)
        for _ in range(refinements):
            _, output = follow(solver.walk(schedule, found, k), predict_kept)
            found = schedule.inverse_step(z, output, k)
        trajectory.append(found)
    return torch.stack(trajectory)


@torch.no_grad()
def sample_ode(
    model: DiffusionModel,
    noise: torch.Tensor,
    cond: Conditioning,
    uncond: Conditioning,
    schedule: Schedule,
    guidance: Guidance = UNGUIDED,
    solver: Solver = DETERMINISTIC,
) -> torch.Tensor:
    """Sample latents, by default unguided: from inverted latents, reconstructions with the inversion's error.

    Args:
        model: the model.
        noise: latents of level N ``[samples, channels, h, w]``.
        cond: of the prompts, one row per sample.
        uncond: unconditional, likewise; read only if the guidance needs it.
        schedule: the noise schedule.
        guidance: its source scale is applied.
        solver: how to step.

    Returns:
        The trajectory ``[steps + 1, samples, channels, h, w]``, again from level 0 to level N.
    """

    def predict(at: torch.Tensor, time: float) -> torch.Tensor:
        return predict_guided(model, at, time, cond, uncond, guidance)

    trajectory, output = [noise], None
    for k in reversed(range(1, schedule.steps + 1)):
        latents, output = follow(solver.walk(schedule, trajectory[-1], k, output), predict)
        trajectory.append(latents)
    return torch.stack(trajectory[::-1])
