"""Format table cells for readers and for JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

DECIMALS = 2
"""Decimals of printed means."""

HEADINGS = {"inside_interval": "inside interval"}
"""Headings of columns whose names are for programs."""


def cell(value: object) -> str:
    """Format a cell as one line, rounded; empty if missing.

    >>> cell(2.345), cell(float("nan")), cell(True), cell(7), cell("two\\nlines")
    ('2.35', '', 'yes', '7', 'two lines')
    """
    if value is pd.NA or value != value:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else " ".join(str(value).splitlines())


def rows_of(table: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Iterate over rows as dictionaries."""
    for row in table.itertuples(index=False, name=None):
        yield dict(zip(table.columns, row, strict=True))


def is_number_column(column: pd.Series) -> bool:
    """Whether a column holds numbers, which are aligned to the right."""
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def json_number(value: Any) -> Any:
    """Convert a cell for JSON, which has no infinity and no nan.

    Infinity, such as the PSNR of identical images, becomes the text ``inf`` or ``-inf``, which ``float``
    reads in most languages. Missing and undefined values become None.

    >>> json_number(float("inf")), json_number(float("nan")), json_number(2.5), json_number("p2p")
    ('inf', None, 2.5, 'p2p')
    """
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
