"""Tables with a row per method and metric, such as those of ``piebench table --intervals``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.cells import number_in
from piebench_eval.lint.reading.headings import Role, read_heading
from piebench_eval.lint.reading.raw_rows import RawRow, column_of, make_rows
from piebench_eval.lint.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.lint.reading.grid import Cell
    from piebench_eval.lint.reading.headings import Heading

_LABELS = (Role.INVERSION, Role.METHOD, Role.MODEL, Role.TYPE, Role.CLIP_MODEL, Role.SOURCE)
_VALUES = ("mean", "value", "measured", "paper", "report", "published", "printed", "score")


def long_tables(
    headings: Sequence[tuple[Heading, str]], body: Sequence[Sequence[Cell]], title: str
) -> list[Table]:
    """The tables of a long form: one for each column of values.

    Args:
        headings: what each column's heading says, with its text.
        body: the rows below.
        title: what to call them; with several columns of values, theirs is added.
    """
    places = {text.strip().lower(): at for at, (_, text) in enumerate(headings)}
    found = [name for name in _VALUES if name in places]
    tables = [
        _long_table(headings, body, places[name], title if len(found) == 1 else f"{title} ({name})")
        for name in found
    ]
    return [table for table in tables if table.rows]


def _long_table(
    headings: Sequence[tuple[Heading, str]], body: Sequence[Sequence[Cell]], place: int, title: str
) -> Table:
    roles = [heading.role for heading, _ in headings]
    of_metric = roles.index(Role.METRIC_NAME)
    grouped: dict[tuple[str, ...], RawRow] = {}
    named: dict[str, Heading] = {}
    for cells in body:
        metric = read_heading(cells[of_metric].text)
        if metric.role is Role.METRIC and number_in(cells[place].text) is not None:
            named.setdefault(metric.key, metric)
            _add(grouped, dict(zip(roles, cells, strict=True)), metric.key, cells[place])
    rows = list(grouped.values())
    line = body[0][0].line if body else 0
    columns = {
        key: column_of(key, QUANTITIES[key].title, metric, rows, line) for key, metric in named.items()
    }
    return Table(title, tuple(make_rows(rows, columns)), columns)


def _add(grouped: dict[tuple[str, ...], RawRow], cells: Mapping[Role, Cell], key: str, value: Cell) -> None:
    """Add a mean to the row with its labels."""
    labels = {role: cells[role].text for role in _LABELS if role in cells}
    counted = number_in(cells[Role.IMAGES].text) if Role.IMAGES in cells else None
    counts = {key: int(float(counted))} if counted else {}
    name = tuple(labels.values())
    row = grouped.get(name, RawRow(value.line, labels, {}, {}))
    grouped[name] = RawRow(row.line, labels, {**row.means, key: value}, {**row.counts, **counts})
