"""Tables of CSV files, as text."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from piebench_eval.lint.reading.grid import Cell, grid_of

if TYPE_CHECKING:
    from piebench_eval.lint.reading.grid import Grid


def delimited_grids(text: str) -> list[Grid]:
    """The table of a file of values separated by commas, semicolons or tabs.

    Lines that start with # are left out.

    Args:
        text: the file.

    Raises:
        csv.Error: quotes do not match.
    """
    lines = text.splitlines(keepends=True)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    separator = max(",;\t", key=first.count)
    kept = [line if not line.startswith("#") else "\n" for line in lines]
    reader = csv.reader(kept, delimiter=separator, strict=True)
    rows = []
    line = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append([Cell(" ".join(cell.split()), line) for cell in cells])
        line = reader.line_num + 1
    return [grid_of(rows, headings=1)] if rows else []
