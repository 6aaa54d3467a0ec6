"""Tables as a terminal shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pandas.api.types import is_numeric_dtype
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from piebench_eval.tables.formats import cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_WITHIN_COMBINATION = ("metric", "type")
"""Columns that tell the rows of one combination apart."""


def to_grid(shown: pd.DataFrame, titles: Mapping[str, str]) -> Table:
    """Lay a table out: numbers to the right, a gap between combinations of several rows.

    Args:
        shown: any table of labels and numbers; labels come first.
        titles: headings of the metrics, by key.
    """
    titles = {**titles, "difference": "diff."}
    columns = list(shown.columns)
    grid = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for column in columns:
        justify: Literal["left", "right"] = "right" if is_numeric_dtype(shown[column]) else "left"
        grid.add_column(titles.get(column, column), justify=justify, no_wrap=True)
    split = next((columns.index(column) for column in _WITHIN_COMBINATION if column in columns), None)
    previous = None
    for row in shown.itertuples(index=False):
        combination = None if split is None else row[:split]
        if previous not in (None, combination):
            grid.add_section()
        previous = combination
        texts = (
            titles.get(str(value), str(value)) if column == "metric" else cell(value)
            for column, value in zip(columns, row, strict=True)
        )
        grid.add_row(*(escape(text.replace("\n", " ")) for text in texts))
    return grid
