"""HTML tables, which READMEs have for cells over several rows or columns."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

from piebench_eval.lint.reading.cells import plain_markdown
from piebench_eval.lint.reading.grid import Cell, Grid, grid_of

_MOST_SPANNED = 100


def html_grids(text: str) -> list[Grid]:
    """The tables of a text with HTML in it. Cells over several rows or columns are repeated in each.

    Args:
        text: the file.
    """
    parser = _Tables()
    parser.feed(text)
    parser.close()
    return [grid_of(rows) for rows in parser.tables if any(rows)]


@dataclass
class _Open:
    """A cell that is being read."""

    pieces: list[str]
    columns: int
    rows: int
    line: int


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[Cell]]] = []
        self._cell: _Open | None = None
        self._spanning: dict[int, tuple[Cell, int]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a table, a row or a cell."""
        if tag == "table":
            self._end_cell()
            self.tables.append([])
            self._spanning = {}
        elif tag == "tr" and self.tables:
            self._end_row()
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self._end_cell()
            given = {name: value or "" for name, value in attrs}
            self._cell = _Open([], _span(given.get("colspan")), _span(given.get("rowspan")), self.getpos()[0])
        elif tag in ("sup", "br") and self._cell:
            self._cell.pieces.append("^" if tag == "sup" else " ")

    def handle_data(self, data: str) -> None:
        """Keep the text of a cell."""
        if self._cell:
            self._cell.pieces.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Close a cell, and a table with its last row."""
        if tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "table") and self.tables:
            self._end_row()

    def _end_row(self) -> None:
        self._end_cell()
        if self.tables[-1] and self.tables[-1][-1]:
            self._fill(self.tables[-1][-1])

    def _end_cell(self) -> None:
        if self._cell is None:
            return
        row, cell = self.tables[-1][-1], Cell(plain_markdown("".join(self._cell.pieces)), self._cell.line)
        self._fill(row)
        for _ in range(self._cell.columns):
            if self._cell.rows > 1:
                self._spanning[len(row)] = (cell, self._cell.rows - 1)
            row.append(cell)
        self._cell = None

    def _fill(self, row: list[Cell]) -> None:
        """Put the cells from above into their places that come next."""
        while len(row) in self._spanning:
            cell, left = self._spanning.pop(len(row))
            if left > 1:
                self._spanning[len(row)] = (cell, left - 1)
            row.append(Cell(cell.text, row[0].line if row else cell.line))


def _span(text: str | None) -> int:
    return min(int(text), _MOST_SPANNED) if text and text.isdecimal() and int(text) else 1
