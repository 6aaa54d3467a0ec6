"""Tables of CSV files, as text."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from piebench_eval.lint.reading.grid import Cell, grid_of

if TYPE_CHECKING:
    from piebench_eval.lint.reading.grid import Grid


_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_DECIMAL_POINT = re.compile(r"\d\.\d")


def delimited_grids(text: str) -> list[Grid]:
    """The table of a file of values separated by commas, semicolons or tabs.

    Lines that start with # are left out. Between semicolons, numbers may have decimal commas, as spreadsheets
    write them in many languages; a file with decimal points has none.

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
    if separator == ";" and not any(_DECIMAL_POINT.search(cell.text) for row in rows[1:] for cell in row):
        rows = [[Cell(_DECIMAL_COMMA.sub(".", cell.text), cell.line) for cell in row] for row in rows]
    return [grid_of(rows, headings=1)] if rows else []
