"""Tables with a column per editing type, and often one of their average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.cells import number_in
from piebench_eval.lint.reading.headings import Heading, Role, read_heading
from piebench_eval.lint.reading.raw_rows import RawRow, column_of, is_of_all_types, make_rows
from piebench_eval.lint.rules.pictures import type_of
from piebench_eval.lint.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.lint.reading.grid import Cell

_LEAST_TYPES = 3


def wide_table(headings: Sequence[Sequence[str]], body: Sequence[Sequence[Cell]], title: str) -> Table | None:
    """The table of a grid with columns of editing types, as rows of types; None if it is none.

    The metric is named above the types, or in the corner above the methods.

    Args:
        headings: the lines of each column's heading.
        body: the rows below.
        title: what to call it.
    """
    types = {at: lines[-1] for at, lines in enumerate(headings) if lines and type_of(lines[-1])}
    if len(types) < _LEAST_TYPES or not body:
        return None
    averages = {at: lines[-1] for at, lines in enumerate(headings) if lines and is_of_all_types(lines[-1])}
    corner = read_heading(" ".join(headings[0]))
    metrics = {at: _metric(headings[at][:-1], corner) for at in (*types, *averages)}
    columns = {at: metric for at, metric in metrics.items() if metric is not None}
    rows = [row for cells in body for row in _rows(cells, {**types, **averages}, columns)]
    named = {metric.key: metric for metric in columns.values()}
    line = body[0][0].line
    known = {key: column_of(key, QUANTITIES[key].title, metric, rows, line) for key, metric in named.items()}
    return Table(title, tuple(make_rows(rows, known)), known) if rows else None


def _metric(above: Sequence[str], corner: Heading) -> Heading | None:
    metric = read_heading(" ".join(dict.fromkeys(above))) if above else corner
    metric = metric if metric.role is Role.METRIC else corner
    return metric if metric.role is Role.METRIC else None


def _rows(cells: Sequence[Cell], types: Mapping[int, str], columns: Mapping[int, Heading]) -> list[RawRow]:
    """A row for each editing type of a method, and one of all types."""
    name = cells[0].text
    rows: dict[str, RawRow] = {}
    for at, metric in columns.items():
        if number_in(cells[at].text) is not None:
            labels = {Role.METHOD: name, Role.TYPE: types[at]}
            row = rows.get(types[at], RawRow(cells[0].line, labels, {}, {}))
            rows[types[at]] = RawRow(row.line, labels, {**row.means, metric.key: cells[at]}, {})
    return list(rows.values())
