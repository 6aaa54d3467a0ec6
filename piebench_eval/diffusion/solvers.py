"""Solvers of a sampling step: where the model is evaluated between two levels, and what follows from it.

A solver is a generator. It yields latents and the model's time there, is sent the (guided) output, and
returns the latents of the level below. Solvers of one stage evaluate at the step's beginning alone. Those of
an ordinary differential equation lead upwards too, for its inversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import torch

    from piebench_eval.diffusion.schedules import DDIMSchedule, FlowSchedule, Schedule

    Walk = Generator[tuple[torch.Tensor, float], torch.Tensor, torch.Tensor]


class _Step(Protocol):
    def __call__(self, schedule: Schedule, latents: torch.Tensor, level: int) -> Walk: ...


class _InverseStep(Protocol):
    def __call__(self, schedule: Schedule, latents: torch.Tensor, level: int, time: float) -> Walk: ...


class _Stops(Protocol):
    def __call__(self, above: torch.Tensor, below: torch.Tensor, level: int) -> Sequence[torch.Tensor]: ...


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
        keeps_output: ``step`` has one more argument, the output that was sent last in the step before; None
            in the first of a walk's steps.
        inverse_keeps_output: so has ``inverse``.
        first_stages: evaluations in the first step, if others than ``stages``.
        one_stage_from: steps from this level and those below it have one evaluation.
        averages: the whole step is taken along the mean of what it is sent, not along the last.
        coupled: latents of a level are a pair, one behind the other along the channels, of which the model is
            given one at a time; the first of level 0 is the picture. So what is done to latents of levels
            outside of a step, such as a blend, is done to both. A pair is float64, and rounded to float32
            where the model is given it: what steps undo is then the same number.
        stops: ``(above, below, level)`` -> where the model is evaluated in the step between given latents of
            ``level`` and of the one below it, one entry per stage. A source whose latents are known then
            takes no step of its own. None where only the step itself leads there.
    """

    name: str
    stages: int
    step: _Step
    inverse: _InverseStep | None = None
    keeps_output: bool = False
    inverse_keeps_output: bool = False
    first_stages: int | None = None
    one_stage_from: int = 0
    averages: bool = False
    coupled: bool = False
    stops: _Stops | None = None

    def stages_at(self, level: int, start: int) -> int:
        """Evaluations in the step from ``level``, of a walk down that starts at the level ``start``."""
        if level <= self.one_stage_from:
            return 1
        return self.first_stages or self.stages if level == start else self.stages

    def picture(self, latents: torch.Tensor) -> torch.Tensor:
        """Of latents of level 0, those to decode: ``[samples, channels, h, w]``."""
        return latents.chunk(2, dim=1)[0].float() if self.coupled else latents

    def walk(
        self, schedule: Schedule, latents: torch.Tensor, level: int, previous: torch.Tensor | None = None
    ) -> Walk:
        """Begin a step from ``level``; ``previous`` is the output that was sent last in the step before."""
        return self.step(schedule, latents, level, *([previous] if self.keeps_output else ()))

    def inverse_walk(
        self,
        schedule: Schedule,
        latents: torch.Tensor,
        level: int,
        time: float,
        previous: torch.Tensor | None = None,
    ) -> Walk:
        """Begin a step up to ``level``, see ``inverse``; ``previous`` as in ``walk``."""
        assert self.inverse is not None, f"{self.name} has no inverse"
        return self.inverse(
            schedule, latents, level, time, *([previous] if self.inverse_keeps_output else ())
        )


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


def reusing_midpoint(
    schedule: FlowSchedule, latents: torch.Tensor, level: int, previous: torch.Tensor | None
) -> Walk:
    """The midpoint rule, its half step along the step before's middle velocity (Deng et al., FireFlow)."""
    halves = schedule.between(level)
    if previous is None:
        previous = yield latents, halves.timestep(2)
    middle = yield halves.step(latents, previous, 2), halves.timestep(1)
    return schedule.step(latents, middle, level)


def inverse_reusing_midpoint(
    schedule: FlowSchedule, latents: torch.Tensor, level: int, time: float, previous: torch.Tensor | None
) -> Walk:
    """The same upwards."""
    halves = schedule.between(level)
    if previous is None:
        previous = yield latents, time
    middle = yield halves.inverse_step(latents, previous, 1), halves.timestep(1)
    return schedule.inverse_step(latents, middle, level)


def inverse_predicted(
    schedule: Schedule, latents: torch.Tensor, level: int, time: float, previous: torch.Tensor | None
) -> Walk:
    """Uni-Inv: evaluated where the last velocity would lead (Jiao et al., 2025)."""
    if previous is None:
        previous = yield latents, time
    output = yield schedule.inverse_step(latents, previous, level), schedule.timestep(level)
    return schedule.inverse_step(latents, output, level)


def inverse_predicted_from_zero(
    schedule: Schedule, latents: torch.Tensor, level: int, time: float, previous: torch.Tensor | None
) -> Walk:
    """The same, with a velocity of zero before the first step."""
    at = latents if previous is None else schedule.inverse_step(latents, previous, level)
    output = yield at, schedule.timestep(level)
    return schedule.inverse_step(latents, output, level)


def averaged(stages: int, one_stage_from: int) -> Solver:
    """The schedule's own step along a mean of outputs, as FlowEdit's over several draws of noise.

    All are asked for at the step's beginning: what tells them apart is an inversion's ``input_offsets``.

    Args:
        stages: how many outputs.
        one_stage_from: the level from which steps take one output.
    """

    def step(schedule: Schedule, latents: torch.Tensor, level: int) -> Walk:
        outputs = []
        for _ in range(1 if level <= one_stage_from else stages):
            outputs.append((yield latents, schedule.timestep(level)))
        return schedule.step(latents, sum(outputs[1:], outputs[0]) / len(outputs), level)

    return Solver(f"averaged_{stages}", stages, step, one_stage_from=one_stage_from, averages=True)


def aligned(weight: float) -> Solver:
    """The schedule's own step, less a share of the predicted image (FlowAlign, Kim et al., 2025).

    What is taken from the target's step and given back by the source's offset is a pull of the target's
    predicted image to the source's.

    Args:
        weight: the share.
    """

    def step(schedule: Schedule, latents: torch.Tensor, level: int) -> Walk:
        output = yield latents, schedule.timestep(level)
        image = schedule.predicted_image(latents, output, level)
        return schedule.step(latents, output, level) - weight * image

    return Solver(f"aligned_{weight}", 1, step)


def stochastic(start: int) -> Solver:
    """The mean of a flow's stochastic step (Rout et al., RF-Inversion); its noise is an inversion's offset.

    Args:
        start: the level that sampling starts from; the step from there is the schedule's own.
    """

    def step(schedule: FlowSchedule, latents: torch.Tensor, level: int) -> Walk:
        output = yield latents, schedule.timestep(level)
        return (schedule.step if level == start else schedule.sde_mean)(latents, output, level)

    return Solver(f"stochastic_{start}", 1, step)  # type: ignore[arg-type]


def coupled(start: int, mixing: float) -> Solver:
    """Two latents, each stepped along what the model predicts at the other (Wallace et al., EDICT, 2023).

    Equation 14 (sampling): the first is stepped by the output at the second, the second by the output at the
    new first, and both are mixed; equation 15 undoes that, operation by operation. Which of them is the first
    alternates from step to step.

    Args:
        start: the level that sampling starts from, where the first is latent 0.
        mixing: the share p that each keeps of itself; not 0.
    """
    kept, taken = mixing, 1 - mixing

    def order(level: int) -> tuple[int, int]:
        first = (start - level) % 2
        return first, 1 - first

    def unmixed(latents: torch.Tensor) -> list[torch.Tensor]:
        x, y = latents.chunk(2, dim=1)
        y = (y - taken * x) / kept
        return [(x - taken * y) / kept, y]

    def step(schedule: Schedule, latents: torch.Tensor, level: int) -> Walk:
        pair, (first, second) = list(latents.chunk(2, dim=1)), order(level)
        for moved, other in ((first, second), (second, first)):
            output = yield pair[other].float(), schedule.timestep(level)
            pair[moved] = schedule.step(pair[moved], output.to(latents), level)
        x = kept * pair[0] + taken * pair[1]
        return _pair(x, taken * x + kept * pair[1])

    def inverse(schedule: Schedule, latents: torch.Tensor, level: int, time: float) -> Walk:
        pair, (first, second) = unmixed(latents), order(level)
        for moved, other in ((second, first), (first, second)):
            output = yield pair[other].float(), time
            pair[moved] = schedule.inverse_step(pair[moved], output.to(latents), level)
        return _pair(*pair)

    def stops(above: torch.Tensor, below: torch.Tensor, level: int) -> list[torch.Tensor]:
        first, second = order(level)
        return [above.chunk(2, dim=1)[second].float(), unmixed(below)[first].float()]

    name = f"coupled_{start}_{mixing}"
    return Solver(name, 2, step, inverse, coupled=True, stops=stops)


def _pair(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Latents of a coupled solver, see ``Solver.coupled``."""
    import torch

    return torch.cat([x, y], dim=1)


DETERMINISTIC = Solver("deterministic", 1, deterministic, inverse_deterministic)
ANCESTRAL = Solver("ancestral", 1, ancestral)  # type: ignore[arg-type]
CONSISTENCY = Solver("consistency", 1, consistency)
MIDPOINT = Solver("midpoint", 2, midpoint, inverse_midpoint)  # type: ignore[arg-type]
FIREFLOW = Solver(
    "fireflow",
    1,
    reusing_midpoint,  # type: ignore[arg-type]
    inverse_reusing_midpoint,  # type: ignore[arg-type]
    keeps_output=True,
    inverse_keeps_output=True,
    first_stages=2,
)
UNI_INV = Solver(
    "uni_inv",
    1,
    deterministic,
    inverse_predicted,  # type: ignore[arg-type]
    inverse_keeps_output=True,
)
UNI_INV_FROM_ZERO = Solver(
    "uni_inv_from_zero",
    1,
    deterministic,
    inverse_predicted_from_zero,  # type: ignore[arg-type]
    inverse_keeps_output=True,
)
