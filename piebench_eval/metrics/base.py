"""The interface of a metric."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from piebench_eval.metrics.networks.names import MetricModels
from piebench_eval.metrics.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.metrics.edit_batch import EditBatch

PAIR_SECTIONS = ("pictures", "mask")
"""Sections of the protocol that every metric of pixels outside the mask depends on."""


@dataclass(frozen=True)
class Metric:
    """A column of the scores file.

    Attributes:
        title: as papers call it.
        paper: where it was published, or whose protocol it is.
        better: which way is better.
        score: scores of a block of edits, in its order; nan where a picture has no such score.
        sections: the sections of the protocol that a score depends on.
        networks: the networks that it needs, fields of ``MetricModels``.
        scale: factor from the score to the unit in tables.
        unit: that unit, empty if there is none.
        needs_ideal: whether it holds edits against their ideal edits, which only a drawn benchmark has.
    """

    title: str
    paper: str
    better: Literal["higher", "lower"]
    score: Callable[[EditBatch], Sequence[float]]
    sections: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    scale: float = 1.0
    unit: str = ""
    needs_ideal: bool = False

    def __post_init__(self) -> None:
        """Refuse sections and networks that there are not: a plugin's mistake."""
        sections, networks = set(Protocol.model_fields), {field.name for field in fields(MetricModels)}
        for what, given, known in (
            ("section", self.sections, sections),
            ("network", self.networks, networks),
        ):
            if unknown := sorted(set(given) - known):
                raise ValueError(f"{self.title}: no {what} {unknown[0]!r}; use {', '.join(sorted(known))}")
