"""Tables as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.tables.formats.cells import HEADINGS, cell, is_number_column, rows_of
from piebench_eval.tables.formats.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.tables.formats.marks import Marks

_WRAPS: dict[Mark | None, tuple[str, str]] = {
    Mark.BEST: ("**", "**"),
    Mark.SECOND: ("<u>", "</u>"),
    Mark.FAULTY: ("*", "*"),
}


def to_markdown(table: pd.DataFrame, remarks: Sequence[str], marks: Marks) -> str:
    """Write a table as Markdown, followed by its remarks; the best is bold, the second best underlined.

    A number that cannot be true is in italics.
    """
    rows = [
        [_marked(cell(value), marks.get((position, column))) for column, value in row.items()]
        for position, row in enumerate(rows_of(table))
    ]
    headings = [_escaped(HEADINGS.get(column, column)) for column in table.columns]
    body = pd.DataFrame(rows, columns=headings).to_markdown(
        index=False,
        colalign=["right" if is_number_column(table[column]) else "left" for column in table.columns],
        disable_numparse=True,  # keeps names that look like numbers
    )
    return "\n".join([body, *(f"\n{remark}" for remark in remarks)]) + "\n"


def _marked(text: str, mark: Mark | None) -> str:
    before, after = _WRAPS.get(mark, ("", ""))
    return f"{before}{_escaped(text)}{after}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
