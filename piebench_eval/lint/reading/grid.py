"""A table of text cells, before anybody knows what is in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell's text, without markup, and the line that its row starts in."""

    text: str
    line: int


@dataclass(frozen=True)
class Grid:
    """Rows of cells, all of one length; cells that span several places are repeated in each.

    Attributes:
        rows: the rows, headings first.
        headings: how many of the rows are headings; None where the format does not tell.
    """

    rows: tuple[tuple[Cell, ...], ...]
    headings: int | None = None


def grid_of(rows: list[list[Cell]], headings: int | None = None) -> Grid:
    """A grid of rows of any length; short ones are filled with empty cells."""
    width = max(map(len, rows), default=0)
    filled = (row + [Cell("", row[0].line)] * (width - len(row)) for row in rows if row)
    return Grid(tuple(tuple(row) for row in filled), headings)
