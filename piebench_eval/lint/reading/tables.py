"""Tables of means out of grids of text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.errors import first_few
from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.cells import number_in
from piebench_eval.lint.reading.headings import Heading, Role, read_heading
from piebench_eval.lint.reading.long_form import long_tables
from piebench_eval.lint.reading.raw_rows import NAMES, RawRow, column_of, make_rows
from piebench_eval.lint.reading.wide_types import wide_table
from piebench_eval.lint.rules.names import names_a_model
from piebench_eval.lint.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from piebench_eval.lint.reading.grid import Cell, Grid
    from piebench_eval.lint.table import Row

_NO_VALUE = frozenset(["", "-", "--", "---", "–", "—", "n/a", "na", "nan", "none", "inf", "∞", "/"])
_STATISTIC = re.compile("_(sem|low|high|n|nan|inf)$")
_SHOWN = 4


def tables_of(grid: Grid, title: str) -> list[Table]:
    """The tables of means in a grid; none if no column is a metric's.

    Args:
        grid: the cells.
        title: what to call them; the sources of rows are added if there is a column of them.
    """
    lines, body = _headings_and_body(grid)
    if (table := wide_table(lines, body, title)) is not None:
        return [table]
    headings = _with_names([_heading(of_column) for of_column in lines], body)
    if Role.METRIC_NAME in (heading.role for heading, _ in headings):
        return long_tables(headings, body, title)
    if not any(heading.role is Role.METRIC for heading, _ in headings):
        return []
    unread: list[str] = []
    rows = list(_raw_rows(headings, body, unread))
    remarks = [*_ignored(headings), *_not_read(unread)]
    first = {
        heading.key: (text, heading) for heading, text in reversed(headings) if heading.role is Role.METRIC
    }
    line = grid.rows[0][0].line
    columns = {
        key: column_of(key, text, heading, rows, line)
        for key, (text, heading) in sorted(first.items(), key=lambda item: list(QUANTITIES).index(item[0]))
    }
    return _by_source(title, make_rows(rows, columns), columns, remarks)


def _headings_and_body(grid: Grid) -> tuple[list[list[str]], list[tuple[Cell, ...]]]:
    """The lines of each column's heading, and the rows below."""
    width = len(grid.rows[0]) if grid.rows else 0
    first = grid.headings
    if first is None:
        least = min(2, width - 1)
        first = next((at for at, row in enumerate(grid.rows) if _numbers(row) >= least), len(grid.rows))
    # A line that spans the table is its title.
    above = [row for row in grid.rows[:first] if len({cell.text for cell in row}) > 1 or width == 1]
    lines = [[row[column].text for row in above if row[column].text] for column in range(width)]
    return lines, list(grid.rows[first:])


def _heading(lines: Sequence[str]) -> tuple[Heading, str]:
    """What the lines of a heading say together; for labels, the last of them alone may say it."""
    text = " ".join(dict.fromkeys(lines))
    heading = read_heading(text)
    if heading.role is Role.UNKNOWN and lines:
        last = read_heading(lines[-1])
        heading = last if last.role not in (Role.METRIC, Role.COUNT) else heading
    return heading, re.sub(r"\s*[_^]+\s*×\s*", " ×", text)


def _numbers(row: Sequence[Cell]) -> int:
    return sum(number_in(cell.text) is not None for cell in row)


def _with_names(
    headings: list[tuple[Heading, str]], body: Sequence[Sequence[Cell]]
) -> list[tuple[Heading, str]]:
    """Take the first column of words for the methods if no heading says which it is.

    Words are no means, and numbers no source.
    """
    numeric = [any(number_in(row[at].text) is not None for row in body) for at in range(len(headings))]
    other = {True: Role.SOURCE, False: Role.METRIC}
    found = [
        (Heading(Role.UNKNOWN) if heading.role is other[is_numeric] else heading, text)
        for (heading, text), is_numeric in zip(headings, numeric, strict=True)
    ]
    if not any(heading.role in NAMES for heading, _ in found):
        words = (
            at for at, (heading, _) in enumerate(found) if heading.role is Role.UNKNOWN and not numeric[at]
        )
        if (at := next(words, None)) is not None:
            found[at] = (Heading(Role.METHOD), found[at][1])
    return found


def _raw_rows(
    headings: Sequence[tuple[Heading, str]], body: Sequence[Sequence[Cell]], unread: list[str]
) -> Iterator[RawRow]:
    section = ""
    above: dict[Role, str] = {}
    for cells in body:
        texts = {cell.text for cell in cells if cell.text}
        if len(texts) == 1 and not _numbers(cells):
            section = texts.pop()
            above = {}
            continue
        row = _raw_row(headings, cells, unread)
        labels = {**row.labels}
        if not labels.get(Role.MODEL) and names_a_model(section):
            labels[Role.MODEL] = section
        if first := _leftmost(headings):
            if not labels.get(first) and any(labels.get(role) for role in NAMES):
                labels[first] = above.get(first, "")  # a blank below a name repeats it
            above = labels
        if row.means:
            yield replace(row, labels=labels)


def _leftmost(headings: Sequence[tuple[Heading, str]]) -> Role | None:
    """The first column of names, if there are several."""
    roles = [heading.role for heading, _ in headings if heading.role in NAMES]
    return roles[0] if len(set(roles)) > 1 else None


def _raw_row(headings: Sequence[tuple[Heading, str]], cells: Sequence[Cell], unread: list[str]) -> RawRow:
    labels: dict[Role, str] = {}
    means: dict[str, Cell] = {}
    counts: dict[str, int] = {}
    for (heading, _), cell in zip(headings, cells, strict=True):
        number = number_in(cell.text)
        if heading.role is Role.METRIC:
            if number is not None:
                means.setdefault(heading.key, cell)
            elif cell.text.lower() not in _NO_VALUE:
                unread.append(f"line {cell.line}: {cell.text!r}")
        elif heading.role is Role.COUNT and number is not None:
            counts[heading.key] = int(float(number))
        elif heading.role is not Role.UNKNOWN:
            labels[heading.role] = " ".join(filter(None, (labels.get(heading.role), cell.text)))
    return RawRow(cells[0].line, labels, means, counts)


def _by_source(
    title: str, rows: Sequence[Row], columns: Mapping[str, Column], remarks: Sequence[str]
) -> list[Table]:
    sources = dict.fromkeys(row.source for row in rows)
    tables = [
        Table(
            f"{title} ({source})" if source and len(sources) > 1 else title,
            tuple(row for row in rows if row.source == source),
            columns,
        )
        for source in sources
    ]
    return [replace(tables[0], remarks=tuple(remarks)), *tables[1:]] if tables else []


def _ignored(headings: Sequence[tuple[Heading, str]]) -> list[str]:
    """A remark that names the columns that are not read; statistics of a named column go without it."""
    texts = {text for _, text in headings}
    seen: set[str] = set()
    names = []
    for heading, text in headings:
        repeated = heading.role is Role.METRIC and heading.key in seen
        seen.add(heading.key)
        is_statistic = _STATISTIC.sub("", text) in texts - {text}
        if text and not is_statistic and (heading.role is Role.UNKNOWN or repeated):
            names.append(text)
    return [f"columns that are not read: {', '.join(names)}"] if names else []


def _not_read(cells: Sequence[str]) -> list[str]:
    return [f"cells that hold no single number: {first_few(cells, _SHOWN)}"] if cells else []
