"""Read ``rows.csv``, the published rows."""

from __future__ import annotations

import csv
import io
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pydantic import ValidationError

from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.published.row import PublishedRow
from piebench_eval.settings import explain_invalid

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

TABLE_1 = "PnP Inversion (arXiv 2310.01506, ICLR 2024) Table 1"
"""Source of the rows of Table 1."""

REPRODUCTION = "Reproduction of PnP Inversion"
"""Source of the rows of a published study that ran Table 1's methods again, on one model."""

_SHOWN_PROBLEMS = 10


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """The published rows that ship with the package, in the order of the file."""
    return read_rows(files(__package__) / "rows.csv")


def rows_from(source: str) -> list[PublishedRow]:
    """The published rows of one source, such as ``TABLE_1``."""
    return [row for row in published_rows() if row.source == source]


def read_rows(file: Traversable | Path) -> tuple[PublishedRow, ...]:
    """Read a file of published rows.

    Args:
        file: CSV with the fields of ``PublishedRow`` as columns; an empty cell is a field that is not given.

    Raises:
        PiebenchError: the file or a row is invalid; the message names file, line and field.
    """
    rows, problems = [], []
    reader = csv.DictReader(io.StringIO(_text_of(file), newline=""), strict=True, restkey="")
    try:
        for cells in reader:
            row = _row_or_problems(cells)
            if isinstance(row, PublishedRow):
                rows.append(row)
            else:
                problems += [f"line {reader.line_num}: {problem}" for problem in row]
    except csv.Error as error:
        problems.append(f"line {reader.line_num + 1}: {error}")
    if problems:
        raise PiebenchError(f"{file}: " + first_few(problems, _SHOWN_PROBLEMS, "; "))
    return tuple(rows)


def _text_of(file: Traversable | Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PiebenchError(f"{file}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise PiebenchError(f"{file}: is no UTF-8 text ({error}); save it as UTF-8") from error


def _row_or_problems(cells: dict[str, str | None]) -> PublishedRow | list[str]:
    if "" in cells:
        return ["more cells than columns; put a text that has commas in quotes"]
    if None in cells.values():
        return ["fewer cells than columns; write a comma for each empty one"]
    given = {name: cell.strip() for name, cell in cells.items() if cell and cell.strip()}
    try:
        return PublishedRow.model_validate(given)
    except ValidationError as error:
        return explain_invalid(error, PublishedRow.model_fields)
