"""Put a leaderboard together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import NOTICE
from piebench_eval.leaderboard.entries import published_entry
from piebench_eval.leaderboard.faults import published_faults
from piebench_eval.leaderboard.filters import chosen, require_metric
from piebench_eval.leaderboard.groups import grouped, sorted_groups
from piebench_eval.leaderboard.measured import held_against, measured_entries
from piebench_eval.published.rows import published_rows
from piebench_eval.tables.remarks import score_remarks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.leaderboard.entries import Entry
    from piebench_eval.leaderboard.filters import Filters
    from piebench_eval.leaderboard.groups import Group
    from piebench_eval.tables.score_table import ScoreTable


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        groups: rows of the same method and model, in the order that is shown.
        remarks: what a reader has to know.
    """

    groups: Sequence[Group]
    remarks: Sequence[str]

    @property
    def entries(self) -> list[Entry]:
        """All rows, in the order that is shown."""
        return [entry for group in self.groups for entry in group.entries]


def make_board(filters: Filters, sort: str | None = None, scores: ScoreTable | None = None) -> Board:
    """Choose published rows, and put measured ones among them.

    Args:
        filters: which published rows are shown.
        sort: key of the metric to sort by, best first; by default by family and model.
        scores: one's own.

    Raises:
        PiebenchError: no published row fits, or there is no such metric.
    """
    if sort is not None:
        require_metric(sort)
    rows, left_out = chosen(published_rows(), filters)
    faults = {id(row): found for row, found in zip(published_rows(), published_faults(), strict=True)}
    entries = [published_entry(row, faults[id(row)]) for row in rows]
    own: list[str] = []
    pairs: list[tuple[Entry, Entry | None]] = []
    if scores is not None:
        notice = [NOTICE] if scores.is_demo else []
        entries, pairs, unmarked = held_against(entries, measured_entries(scores), scores)
        own = [*notice, *score_remarks(scores.rows, scores.provenance, scores.rules), *unmarked]
    groups = grouped(entries, pairs)
    groups = sorted_groups(groups, sort) if sort else groups
    return Board(groups, [*_remarks(groups), *left_out, *own])


def _remarks(groups: Sequence[Group]) -> list[str]:
    """How the rows are to be read, and how far they are comparable."""
    rows = [row for group in groups for entry in group.entries if (row := entry.published) is not None]
    counted = [
        (
            "methods in several sources, with the lowest, median and highest of their means",
            sum(bool(group.spread) for group in groups),
        ),
        (
            "rows with the digits of another row of the same method, which do not count there",
            len(rows) - sum(len(group.originals) for group in groups),
        ),
        (
            "rows with impossible or doubtful means (piebench lint --published), which do not count there",
            sum(bool(entry.faults) for group in groups for entry in group.entries),
        ),
        ("rows read at second hand, in notes", sum(row.read_from == "notes" for row in rows)),
        ("rows that are means of the 620 pictures without style", sum(row.images == 620 for row in rows)),
        ("rows that do not say how many pictures", sum(row.images is None for row in rows)),
        (
            "rows of editors that were given the benchmark's masks, outside of which they keep the picture",
            sum(row.masks_at_inference == "benchmark" for row in rows),
        ),
    ]
    sources = len({row.source for row in rows})
    first = f"{len(rows)} published rows of {sources} sources, as printed there; nothing was scored again"
    return [first, *(f"{text}: {number}" for text, number in counted if number)]
