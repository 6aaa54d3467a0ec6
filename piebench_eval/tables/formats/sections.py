"""Which rows of a table stand together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pandas as pd

_WITHIN_COMBINATION = ("metric", "type")
"""Columns that tell the rows of one combination apart."""


def by_method(means: pd.DataFrame) -> list[str]:
    """The editing method of each row; empty for reference rows.

    Reference rows are those that no inversion and editing method made: the demo's ``oracle`` and
    ``source-copy``, and anybody's pictures under a name.

    Args:
        means: a row per combination.
    """
    if not {"method", "inversion"} <= set(means.columns):
        return [""] * len(means)
    pairs = zip(means["method"], means["inversion"], strict=True)
    return [str(method) if inversion else "" for method, inversion in pairs]


def by_combination(table: pd.DataFrame) -> list[Hashable]:
    """What each row is of, apart from the metric or editing type; the same for all where there is neither.

    Args:
        table: labels, with the combination's first, then numbers.
    """
    columns = list(table.columns)
    split = next((columns.index(column) for column in _WITHIN_COMBINATION if column in columns), 0)
    return [row[:split] for row in table.itertuples(index=False, name=None)]
