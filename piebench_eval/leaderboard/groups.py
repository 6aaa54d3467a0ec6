"""Rows of the same method on the same model, from several sources, and how far their means lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from statistics import median
from typing import TYPE_CHECKING, get_args

from piebench_eval.published.row import METRIC_KEYS, Family
from piebench_eval.tables.layout import TABLE_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.leaderboard.entries import Entry

_IS_HIGHER_BETTER = {metric.key: metric.better == "higher" for metric in TABLE_METRICS}
_FAMILIES = get_args(Family)
_SHARED_DIGITS = 3
"""Rows that agree in so many means, and differ in none, are one row printed twice."""


@dataclass(frozen=True)
class Spread:
    """The means of one metric in several sources; doubtful ones, and rows printed again, do not count.

    Attributes:
        low: the lowest.
        median: the median.
        high: the highest.
        sources: how many there are.
    """

    low: float
    median: float
    high: float
    sources: int


@dataclass(frozen=True)
class Group:
    """The rows of a method on a model.

    Attributes:
        method: the method as printed.
        model: the model as printed.
        family: its family.
        entries: published rows in the order of the file, then measured ones.
    """

    method: str
    model: str
    family: str
    entries: Sequence[Entry]

    @property
    def originals(self) -> list[Entry]:
        """The published rows, each once: those with the digits of another are left out."""
        found: list[Entry] = []
        for entry in self.entries:
            if not entry.is_measured and not any(_is_again(entry, other) for other in found):
                found.append(entry)
        return found

    @property
    def spread(self) -> dict[str, Spread]:
        """The spread of each metric that two sources print at least."""
        rows = self.originals
        values = {key: [row.counted[key] for row in rows if key in row.counted] for key in METRIC_KEYS}
        return {
            key: Spread(min(found), median(found), max(found), len(found))
            for key, found in values.items()
            if len(found) > 1
        }

    def typical(self, key: str) -> float | None:
        """What the group is sorted by: the median of the published means, else a finite measured mean."""
        values = [row.counted[key] for row in self.originals if key in row.counted]
        values = values or [row.numbers[key] for row in self.entries if isfinite(row.numbers.get(key, nan))]
        return median(values) if values else None


def grouped(published: Iterable[Entry], measured: Iterable[tuple[Entry, Entry | None]]) -> list[Group]:
    """Put rows of the same method and model together.

    Args:
        published: the published rows.
        measured: measured rows, each with a published row of its combination and model if there is one.

    Returns:
        Groups by family, model and first appearance.
    """
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in published:
        found.setdefault((entry.method, entry.model), []).append(entry)
    for entry, like in measured:
        key = (like.method, like.model) if like else (entry.method, entry.model)
        found.setdefault(key, []).append(entry)
    groups = [Group(method, model, entries[0].family, entries) for (method, model), entries in found.items()]
    models = list(dict.fromkeys(group.model for group in groups))
    return sorted(groups, key=lambda group: (_FAMILIES.index(group.family), models.index(group.model)))


def sorted_groups(groups: Iterable[Group], key: str) -> list[Group]:
    """Groups by a metric, the best first; those without it last."""
    sign = -1 if _IS_HIGHER_BETTER[key] else 1

    def merit(group: Group) -> tuple[bool, float]:
        value = group.typical(key)
        return value is None, sign * (value or 0.0)

    return sorted(groups, key=merit)


def _is_again(one: Entry, other: Entry) -> bool:
    shared = one.numbers.keys() & other.numbers.keys()
    return len(shared) >= _SHARED_DIGITS and all(one.numbers[key] == other.numbers[key] for key in shared)
