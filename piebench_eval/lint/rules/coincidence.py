"""How likely two rows share digits by chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from statistics import median
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Collection

    from piebench_eval.lint.table import Row, Value

_LEAST_DISTANCE = 1e-3


@dataclass(frozen=True)
class SharedDigits:
    """What two rows have in common.

    Attributes:
        equal: metrics whose printed means are the same.
        different: metrics that both print with other digits.
        chance: probability that unrelated rows share the equal ones.
    """

    equal: tuple[str, ...]
    different: tuple[str, ...]
    chance: float


def shared_digits(first: Row, second: Row, without: Collection[str] = ()) -> SharedDigits:
    """Compare the digits of two rows.

    Two means are the same by chance as often as one step of their last digit goes into the metric's usual
    spread between methods. Rows that are near each other in their other metrics, such as a method run again,
    share digits more easily: the spread is taken in proportion. A 0 that both have says nothing.

    Args:
        first: a row.
        second: the other one.
        without: metrics that do not count.
    """
    both = [key for key in first.values if key in second.values and key not in without]
    both = [key for key in both if first.values[key].number or second.values[key].number]
    equal = tuple(key for key in both if first.values[key].number == second.values[key].number)
    different = tuple(key for key in both if key not in equal)
    distance = median(_distance(first, second, key) for key in different) if different else 1.0
    distance = min(max(distance, _LEAST_DISTANCE), 1.0)
    steps = (_step(first.values[key], second.values[key]) for key in equal)
    chances = (step / (QUANTITIES[key].spread * distance) for key, step in zip(equal, steps, strict=True))
    return SharedDigits(equal, different, prod(min(1.0, chance) for chance in chances))


def _distance(first: Row, second: Row, key: str) -> float:
    """Distance of two means, in usual spreads."""
    return float(abs(first.values[key].number - second.values[key].number)) / QUANTITIES[key].spread


def _step(first: Value, second: Value) -> float:
    """The coarser last digit of two means."""
    return 2 * float(max(first.half, second.half))
