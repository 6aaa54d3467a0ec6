"""The interface of a metric."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from piebench_eval.metrics.networks.metric_models import LPIPS_ROLE, MetricModels, lpips_role
from piebench_eval.metrics.protocol import Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.metrics.scoring_batch import ScoringBatch

PAIR_SECTIONS = ("pictures", "mask")
"""Sections of the protocol that every metric of a masked pair of images depends on."""


@dataclass(frozen=True)
class Metric:
    """A column of the scores file.

    Attributes:
        title: its name in papers.
        paper: the publication.
        better: the better direction.
        score: computes a score per edit of a batch; nan where an image has no such score.
        sections: the sections of the protocol that a score depends on.
        networks: the networks it needs, fields of ``MetricModels``.
        scale: factor from the score to the unit in tables, Table 1 among them.
        unit: that unit, empty if there is none.
        needs_ideal: whether it compares with ideal edits, which only drawn benchmarks have.
    """

    title: str
    paper: str
    better: Literal["higher", "lower"]
    score: Callable[[ScoringBatch], Sequence[float]]
    sections: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    scale: float = 1.0
    unit: str = ""
    needs_ideal: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown sections and networks of a plugin.

        Raises:
            ValueError: it names a section or network that does not exist.
        """
        sections, networks = set(Protocol.model_fields), {field.name for field in fields(MetricModels)}
        for what, given, known in (
            ("section", self.sections, sections),
            ("network", self.networks, networks),
        ):
            if unknown := sorted(set(given) - known):
                raise ValueError(f"{self.title}: no {what} {unknown[0]!r}; use {', '.join(sorted(known))}")

    def networks_under(self, protocol: Protocol) -> tuple[str, ...]:
        """The networks that it needs under a protocol, which may name another backbone of LPIPS."""
        return tuple(
            lpips_role(protocol.lpips.network) if role == LPIPS_ROLE else role for role in self.networks
        )
