"""A row of the leaderboard, published or measured here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from piebench_eval.tables.layout import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from piebench_eval.published.row import PublishedRow

MEASURED = "measured here"

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A row of the leaderboard.

    Attributes:
        method: the method as printed, or the name of a combination or folder that was measured here.
        model: the model as published rows call it; empty if it is not known.
        family: the family that the model is of.
        numbers: means by Table 1's keys, in its units; inf for the PSNR of backgrounds that nothing changed.
        source: where it is printed; the name of the run or file of a measured row.
        published: the published row; None for a measured one.
        steps: number of sampling steps.
        images: how many pictures it is a mean of.
        masks: masks that the editor was given; empty if that is not known.
        prompted_by: what the editor was told; empty if that is not known.
        intervals: 95% intervals of a measured row's means, by metric.
        inside: names of the measured rows whose interval holds the printed mean, by metric.
        faults: what is wrong with means, by metric.
    """

    method: str
    model: str
    family: str
    numbers: Mapping[str, float]
    source: str
    published: PublishedRow | None = None
    steps: int | None = None
    images: int | None = None
    masks: str = ""
    prompted_by: str = ""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    inside: Mapping[str, Sequence[str]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        """Whether its scores are one's own."""
        return self.published is None

    @property
    def counted(self) -> dict[str, float]:
        """The means without those that are wrong."""
        return {key: value for key, value in self.numbers.items() if key not in self.faults}

    @property
    def where(self) -> str:
        """The source in a few words, such as ``DNAEdit 2025``."""
        if self.published is None:
            return f"{MEASURED}: {self.source}" if self.source else MEASURED
        return " ".join(filter(None, [self.published.printed_in, str(self.published.year or "")]))

    @property
    def marks(self) -> str:
        """What is to be known of single means, in words."""
        parts = [f"{names_of(keys)}: {fault}" for fault, keys in _by_value(self.faults).items()]
        for rows, keys in _by_value({key: tuple(names) for key, names in self.inside.items()}).items():
            means = "all means" if len(keys) == len(self.numbers) else names_of(keys)
            parts.append(f"{means}: inside the interval of {', '.join(rows)}")
        return "; ".join(parts)


def published_entry(row: PublishedRow, faults: Mapping[str, str]) -> Entry:
    """A published row as one of the leaderboard.

    Args:
        row: the row.
        faults: what the linter finds in it, by metric.
    """
    return Entry(
        method=row.method,
        model=row.model,
        family=row.family,
        numbers=row.numbers,
        source=row.source,
        published=row,
        steps=row.steps,
        images=row.images,
        masks=row.masks_at_inference or "",
        prompted_by=row.prompted_by or "",
        faults={**dict.fromkeys(row.doubtful, "doubtful"), **faults},
    )


def names_of(keys: Iterable[str]) -> str:
    """Metrics in a sentence."""
    return ", ".join(METRIC_NAMES[key] for key in keys)


def _by_value(mapping: Mapping[str, T]) -> dict[T, list[str]]:
    """The keys of each value."""
    found: dict[T, list[str]] = {}
    for key, value in mapping.items():
        found.setdefault(value, []).append(key)
    return found
