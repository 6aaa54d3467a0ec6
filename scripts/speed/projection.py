"""Estimate the time of Table 1 at full steps from measurements of few combinations at fewer steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piebench_eval.runs.forecast import Forecast
from scripts.speed.measure import Measured

PICTURES = 700
"""Of PIE-Bench."""


@dataclass(frozen=True)
class Projected:
    """One combination.

    ``rows``: per image, those that no earlier combination computes; ``pace_of``: whose pace they go at;
    ``seconds``: per image.
    """

    combination: str
    rows: float
    pace_of: str
    seconds: float


def seconds_per_row(measured: Measured, ends: Mapping[int, float]) -> float:
    """At the fastest batch size, without what is not in the steps."""
    fastest = measured.fastest
    return max(0.0, fastest.seconds - ends[fastest.batch]) / measured.rows


def project(
    planned: Sequence[Forecast], measured: Sequence[Measured], ends: Mapping[int, float]
) -> list[Projected]:
    """Seconds per image of combinations, at the paces of the nearest that were measured.

    Args:
        planned: the combinations, with their rows.
        measured: some of them, at whatever number of steps.
        ends: see ``time_ends``.

    Returns:
        An entry per combination; none at all where one is like nothing that was measured.
    """
    found = []
    for plan in planned:
        rows = plan.nfe_forward + plan.nfe_backward - plan.nfe_reused
        if (like := _nearest(plan, rows, measured)) is None:
            return []
        seconds = ends[like.fastest.batch] + rows * seconds_per_row(like, ends)
        found.append(Projected(plan.combination, rows, like.combination, seconds))
    return found


def hours(projected: Sequence[Projected]) -> float:
    """Of all pictures of the benchmark, on one device."""
    return PICTURES * sum(one.seconds for one in projected) / 3600


def _nearest(plan: Forecast, rows: float, measured: Sequence[Measured]) -> Measured | None:
    """The combination itself, or one that differentiates as well, or one that does not and has the method."""
    differentiates = 0 < plan.nfe_backward <= rows  # fewer rows than that: the optimisation is shared

    def is_like(one: Measured) -> bool:
        if differentiates or one.backward:
            return differentiates and one.backward > 0
        return one.combination.partition("+")[2] == plan.combination.partition("+")[2]

    alike = sorted(filter(is_like, measured), key=lambda one: one.combination != plan.combination)
    return next(iter(alike), None)
