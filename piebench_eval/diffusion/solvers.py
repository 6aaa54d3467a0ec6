"""Solvers of a sampling step: where the model is evaluated between two levels, and what follows from it.

A solver is a generator. It yields latents and the model's time there, is sent the (guided) output, and
returns the latents of the level below. Solvers of one stage evaluate at the step's beginning alone. Those of
an ordinary differential equation lead upwards too, for its inversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator

    import torch

    from piebench_eval.diffusion.schedules import DDIMSchedule, FlowSchedule, Schedule

    Walk = Generator[tuple[torch.Tensor, float], torch.Tensor, torch.Tensor]


class _Step(Protocol):
    def __call__(self, schedule: Schedule, latents: torch.Tensor, level: int) -> Walk: ...


class _InverseStep(Protocol):
    def __call__(self, schedule: Schedule, latents: torch.Tensor, level: int, time: float) -> Walk: ...


@dataclass(frozen=True)
class Solver:
    """How a step leads from a level to the one below it.

    Attributes:
        name: its name in messages and cache keys.
        stages: evaluations of the model in a step.
        step: ``(schedule, latents, level)``, a generator as above. If the solver has an ``inverse``, the
            whole step is taken along the output that it is sent last.
        inverse: the same from the level below up to ``level``: ``(schedule, latents, level, time)``, with
            the model's time at the first evaluation. None where a step adds noise.
    """

    name: str
    stages: int
    step: _Step
    inverse: _InverseStep | None = None


def deterministic(schedule: Schedule, latents: torch.Tensor, level: int) -> Walk:
    """The schedule's own step: DDIM's with eta 0, or Euler's."""
    output = yield latents, schedule.timestep(level)
    return schedule.step(latents, output, level)


def inverse_deterministic(schedule: Schedule, latents: torch.Tensor, level: int, time: float) -> Walk:
    """The schedule's own step, reversed."""
    output = yield latents, time
    return schedule.inverse_step(latents, output, level)


def ancestral(schedule: DDIMSchedule, latents: torch.Tensor, level: int) -> Walk:
    """The mean of DDPM's step (eta 1); its noise is an inversion's offset."""
    output = yield latents, schedule.timestep(level)
    return schedule.ancestral_mean(latents, output, level)


def consistency(schedule: Schedule, latents: torch.Tensor, level: int) -> Walk:
    """The mean of a consistency model's step; its noise is an inversion's offset."""
    output = yield latents, schedule.timestep(level)
    return schedule.consistency_mean(latents, output, level)


def midpoint(schedule: FlowSchedule, latents: torch.Tensor, level: int) -> Walk:
    """The midpoint rule: half a step, and a whole one along the velocity found there."""
    halves = schedule.between(level)
    output = yield latents, halves.timestep(2)
    middle = yield halves.step(latents, output, 2), halves.timestep(1)
    return schedule.step(latents, middle, level)


def inverse_midpoint(schedule: FlowSchedule, latents: torch.Tensor, level: int, time: float) -> Walk:
    """The midpoint rule upwards: half a step, and a whole one along the velocity found there."""
    halves = schedule.between(level)
    output = yield latents, time
    middle = yield halves.inverse_step(latents, output, 1), halves.timestep(1)
    return schedule.inverse_step(latents, middle, level)


DETERMINISTIC = Solver("deterministic", 1, deterministic, inverse_deterministic)
ANCESTRAL = Solver("ancestral", 1, ancestral)  # type: ignore[arg-type]
CONSISTENCY = Solver("consistency", 1, consistency)
MIDPOINT = Solver("midpoint", 2, midpoint, inverse_midpoint)  # type: ignore[arg-type]
