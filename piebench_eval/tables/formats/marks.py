"""What a table makes stand out: the best of a group, and whether a number agrees with the published one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from piebench_eval.tables.formats.cells import DECIMALS

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from piebench_eval.tables.layout import TableMetric


class Mark(StrEnum):
    """Why a number stands out; each format shows it in its own way, or not at all."""

    BEST = "best"
    SECOND = "second"
    AGREES = "agrees"
    DIFFERS = "differs"


Marks = Mapping[tuple[int, str], Mark]
"""Marks by position of the row, counted from 0, and column."""

_WITHIN_COMBINATION = ("metric", "type")
"""Columns that tell the rows of one combination apart."""


def rank_marks(means: pd.DataFrame, metrics: Sequence[TableMetric]) -> Marks:
    """Mark the best and the second best mean of each metric among the inversions of an editing method.

    Means that print alike share a place. Only finite means take part: an infinite PSNR is that of pictures
    which nothing was changed in. Where fewer than two take part, and in reference rows, nothing is marked.

    Args:
        means: from ``aggregate``.
        metrics: columns to mark, by their keys.
    """
    rows_of: dict[str, list[int]] = {}
    for row, method in enumerate(by_method(means)):
        if method:
            rows_of.setdefault(method, []).append(row)
    marks: dict[tuple[int, str], Mark] = {}
    for metric in metrics:
        column = means[metric.key].tolist()
        for rows in rows_of.values():
            values = {row: round(column[row], DECIMALS) for row in rows if math.isfinite(column[row])}
            marks |= {(row, metric.key): mark for row, mark in _places(values, metric.better).items()}
    return marks


def verdict_marks(comparison: pd.DataFrame) -> Marks:
    """Mark differences from the published numbers by their verdicts, where there are any.

    Args:
        comparison: the table of ``compare_with_paper``.
    """
    verdicts = enumerate(comparison["verdict"])
    return {(row, "difference"): Mark(verdict) for row, verdict in verdicts if verdict}


def by_method(means: pd.DataFrame) -> list[str]:
    """The editing method of each row; empty for reference rows.

    Reference rows are those that no inversion and editing method made: the demo's ``oracle`` and
    ``score_table-copy``, and anybody's pictures under a name.

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


def _places(values: Mapping[int, float], better: Literal["higher", "lower"]) -> dict[int, Mark]:
    if len(values) < 2:
        return {}
    order = sorted(set(values.values()), reverse=better == "higher")
    marks = dict(zip(order, (Mark.BEST, Mark.SECOND), strict=False))
    return {row: marks[value] for row, value in values.items() if value in marks}
