"""Print tables on the terminal without truncating cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd
    from rich.table import Table

    from piebench_eval.tables.formats.marks import Marks


def print_grid(
    shown: pd.DataFrame,
    titles: Mapping[str, str],
    marks: Marks | None = None,
    sections: Sequence[Hashable] | None = None,
) -> None:
    """Print a table at its full width; a narrower terminal wraps it.

    Args:
        shown: labels first, then numbers.
        titles: headings of the metrics, by key.
        marks: bold, underlined and coloured cells.
        sections: the section of each row, see ``to_grid``.
    """
    from rich.measure import Measurement

    from piebench_eval.tables.formats.terminal import to_grid

    grid = to_grid(shown, titles, marks, sections)
    out.width = max(out.width, Measurement.get(out, out.options.update(max_width=10_000), grid).maximum)
    out.print(grid, crop=False)


def print_names_and_marks(table: Table) -> None:
    """Print a table of names, left, and short entries; a narrower terminal gets it tighter, its names folded.

    Args:
        table: as it looks best; its left-justified columns are the names.
    """
    from rich.measure import Measurement

    if Measurement.get(out, out.options.update(max_width=10_000), table).maximum > out.width:
        table.padding = (0, 0)
        table.pad_edge = False
        for column in table.columns:
            column.overflow = "fold"
            column.no_wrap = column.justify != "left"
    out.print(table)
