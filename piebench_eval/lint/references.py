"""The published rows as tables, and as what others' rows are held against."""

from __future__ import annotations

from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from piebench_eval.lint.rules.names import words
from piebench_eval.lint.table import Row, Table, printed, standard_column
from piebench_eval.published.rows import published_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.published.row import PublishedRow

_FIRST_LINE = 2
_NO_YEAR = 9999


def row_of(published: PublishedRow, position: int) -> Row:
    """A published row as the rules see it.

    Args:
        published: the row.
        position: its place in the file, from 0.
    """
    return Row(
        name=published.method,
        values={key: printed(str(number)) for key, number in published.printed.items()},
        model=published.model,
        line=position + _FIRST_LINE,
        images=published.images,
        source=published.source,
        order=(_rank(published), published.year or _NO_YEAR, position),
    )


def _rank(published: PublishedRow) -> int:
    """0 for the row of a method's own authors, whose digits others copy; 1 for others."""
    if published.by is not None:
        return int(published.by != "authors")
    return int(not words(published.method) & words(published.printed_in))


@cache
def reference_rows() -> tuple[Row, ...]:
    """All published rows, in the order of the file."""
    return tuple(row_of(row, position) for position, row in enumerate(published_rows()))


def tables_by_source(rows: Iterable[Row]) -> list[Table]:
    """A table for each source of published rows."""
    ordered = sorted(rows, key=lambda row: row.source)
    groups = {source: tuple(group) for source, group in groupby(ordered, key=lambda row: row.source)}
    return [
        Table(source, group, {key: standard_column(key) for row in group for key in row.values})
        for source, group in groups.items()
    ]
