"""Tables for the terminal, by rich."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from piebench_eval.tables.formats.cells import cell, is_number_column, rows_of
from piebench_eval.tables.formats.marks import Mark, by_combination

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import pandas as pd

    from piebench_eval.tables.formats.marks import Marks

_STYLES = {
    Mark.BEST: "bold",
    Mark.SECOND: "underline",
    Mark.AGREES: "green",
    Mark.DIFFERS: "red",
    Mark.FAULTY: "red",
    Mark.INSIDE: "green",
}


def to_grid(
    shown: pd.DataFrame,
    titles: Mapping[str, str],
    marks: Marks | None = None,
    sections: Sequence[Hashable] | None = None,
) -> Table:
    """Format a table: numbers aligned to the right, a gap between sections.

    Args:
        shown: any table of labels and numbers; labels come first.
        titles: headings of the metrics, by key.
        marks: numbers to print bold, underlined or coloured.
        sections: a key per row, with a gap wherever it changes; by default the combination.
    """
    titles = {**titles, "difference": "diff.", "inside_interval": "inside\ninterval"}
    marks = marks or {}
    sections = by_combination(shown) if sections is None else sections
    grid = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for column in shown.columns:
        right = is_number_column(shown[column])
        grid.add_column(titles.get(column, column), justify="right" if right else "left", no_wrap=True)
    for position, row in enumerate(rows_of(shown)):
        if position and sections[position] != sections[position - 1]:
            grid.add_section()
        grid.add_row(
            *(_text(column, value, titles, marks.get((position, column))) for column, value in row.items())
        )
    return grid


def _text(column: str, value: object, titles: Mapping[str, str], mark: Mark | None) -> Text:
    text = titles.get(str(value), str(value)).replace("\n", " ") if column == "metric" else cell(value)
    return Text.assemble((text, _STYLES[mark] if mark else ""))  # the padding before it stays plain
