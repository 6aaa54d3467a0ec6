"""The leaderboard as a table for the terminal and for text formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.views import View

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from piebench_eval.leaderboard.entries import Entry
    from piebench_eval.leaderboard.groups import Group

_SPREADS = {"low": "min", "median": "median", "high": "max"}
_READABLE = ("method", "model", "steps", *METRIC_KEYS, "images", "masks", "where", "read_from", "marks")
_EXACT = (
    *("row", "method", "model", "family", "steps", *METRIC_KEYS, "images", "masks", "prompted_by"),
    *("source", "year", "link", "read_from", "by", "combination", "marks", "note"),
)
_OF_PUBLISHED = ("year", "link", "read_from", "by", "combination", "note")


def board_view(groups: Sequence[Group], remarks: Sequence[str], exact: bool) -> View:
    """The rows of all groups, those of several sources followed by their spread.

    Args:
        groups: in the order that is shown.
        remarks: what a reader has to know.
        exact: for programs: every field, and the kind of each row in a column ``row``: ``published``,
            ``measured``, ``low`` and ``high`` (the ends of a 95% interval), ``min``, ``median``, ``max``.
    """
    rows: list[dict[str, Any]] = []
    marks: dict[tuple[int, str], Mark] = {}
    sections: list[Hashable] = []
    for number, group in enumerate(groups):
        for entry in group.entries:
            marks |= {(len(rows), key): Mark.INSIDE for key in entry.inside}
            marks |= {(len(rows), key): Mark.FAULTY for key in entry.faults}
            rows += _entry_rows(entry)
        rows += _spread_rows(group)
        section = number if len(group.entries) > 1 else group.model
        sections += [section] * (len(rows) - len(sections))
    numbers = dict.fromkeys(("steps", "images", "year"), "Int64") | dict.fromkeys(METRIC_KEYS, "float")
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_EXACT, *_READABLE]))).astype(numbers)
    texts = [column for column in table.columns if column not in numbers]
    table[texts] = table[texts].fillna("")
    shown = table[list(_EXACT if exact else _READABLE)]
    return View(
        shown.rename(columns={"where": "source", "read_from": "read from"} if not exact else {}),
        list(remarks),
        marks,
        sections,
    )


def _entry_rows(entry: Entry) -> Iterator[dict[str, Any]]:
    """A row, and the ends of its intervals."""
    about = {"method": entry.method, "model": entry.model, "family": entry.family}
    row = entry.published
    yield {
        **about,
        "row": "measured" if row is None else "published",
        "steps": entry.steps,
        **entry.numbers,
        "images": entry.images,
        "masks": entry.masks,
        "prompted_by": entry.prompted_by,
        "source": entry.source or entry.where,
        "where": entry.where,
        "marks": entry.marks,
        **({} if row is None else {name: getattr(row, name) for name in _OF_PUBLISHED}),
    }
    for end, name in enumerate(("low", "high")):
        if entry.intervals:
            values = {key: interval[end] for key, interval in entry.intervals.items()}
            text = f"{name} end of its 95% interval"
            yield {**about, "row": name, **values, "source": text, "where": text}


def _spread_rows(group: Group) -> Iterator[dict[str, Any]]:
    """Lowest, median and highest mean, where several sources print one."""
    spread = group.spread
    if not spread:
        return
    sources = max(each.sources for each in spread.values())
    for field, name in _SPREADS.items():
        text = f"{name} of {sources} sources"
        values = {key: getattr(each, field) for key, each in spread.items()}
        about = {"row": name, "method": group.method, "model": group.model, "family": group.family}
        yield {**about, **values, "source": text, "where": text}
