"""Read the tables of a file by its ending."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError, first_few
from piebench_eval.lint.reading.delimited import delimited_grids
from piebench_eval.lint.reading.latex import latex_grids
from piebench_eval.lint.reading.markdown import markdown_grids
from piebench_eval.lint.reading.tables import tables_of

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.lint.reading.grid import Grid
    from piebench_eval.lint.table import Table

_READERS = {
    ".csv": delimited_grids,
    ".tsv": delimited_grids,
    ".tex": latex_grids,
    ".md": markdown_grids,
    ".markdown": markdown_grids,
}


def read_tables(file: Path) -> list[Table]:
    """Read all tables of means in a file.

    Args:
        file: CSV, LaTeX or Markdown, told by its ending.

    Returns:
        A table for each that has a metric of Table 1 as a column; its number is in the title of several.

    Raises:
        PiebenchError: there is no such file, it cannot be read, or it has no such table.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise PiebenchError(f"{file}: is none of {', '.join(_READERS)}; give the table as one of them")
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; name a table that is there")
    try:
        grids = reader(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise PiebenchError(
            f"{file}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise PiebenchError(f"{file}: is not a CSV file ({error}); close its quotes") from None
    tables = [
        table
        for number, grid in enumerate(grids, 1)
        for table in tables_of(grid, _title(file, number, grids))
    ]
    if not tables:
        raise PiebenchError(f"{file}: {_without_metrics(grids)}")
    return tables


def _title(file: Path, number: int, grids: list[Grid]) -> str:
    return str(file) if len(grids) == 1 else f"{file} (table {number})"


def _without_metrics(grids: list[Grid]) -> str:
    if not grids:
        return "has no table; give a file that has one"
    texts = [cell.text for grid in grids for cell in (grid.rows[0] if grid.rows else ()) if cell.text]
    return (
        "has no column of a metric that is known here (structure distance, PSNR, LPIPS, MSE, SSIM, CLIP "
        "whole, CLIP "
        f"edited); its first headings are {first_few(texts, 8)}: call the columns so"
    )
