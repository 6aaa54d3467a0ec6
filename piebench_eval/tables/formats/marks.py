"""Highlighted numbers (best, second best, verdicts, faults) and sections of a table."""

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
    """Why a number is highlighted; each format has its own style, or none."""

    BEST = "best"
    SECOND = "second"
    AGREES = "agrees"
    DIFFERS = "differs"
    FAULTY = "faulty"
    INSIDE = "inside"


Marks = Mapping[tuple[int, str], Mark]
"""Marks by position of the row, counted from 0, and column."""

_WITHIN_COMBINATION = ("metric", "type")
"""Columns that distinguish the rows of one combination."""


def rank_marks(means: pd.DataFrame, metrics: Sequence[TableMetric]) -> Marks:
    """Mark the best and the second best mean of each metric among the inversions of an editing method.

    Means that print alike share a rank. Only finite means are ranked: an infinite PSNR is that of unedited
    images. With fewer than two of them, and in reference rows, nothing is marked.

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
            marks |= {(row, metric.key): mark for row, mark in _ranks(values, metric.better).items()}
    return marks


def verdict_marks(comparison: pd.DataFrame) -> Marks:
    """Mark differences from the published numbers by their verdicts.

    Args:
        comparison: the table of ``compare_with_paper``.
    """
    verdicts = enumerate(comparison["verdict"])
    return {(row, "difference"): Mark(verdict) for row, verdict in verdicts if verdict}


def by_method(means: pd.DataFrame) -> list[str]:
    """The editing method of each row; empty for reference rows.

    Reference rows are those that no inversion and editing method made: the demo's ``oracle`` and
    ``source-copy``, and scored folders under a name.

    Args:
        means: a row per combination.
    """
    if not {"method", "inversion"} <= set(means.columns):
        return [""] * len(means)
    pairs = zip(means["method"], means["inversion"], strict=True)
    return [str(method) if inversion else "" for method, inversion in pairs]


def by_combination(table: pd.DataFrame) -> list[Hashable]:
    """The labels of each row without metric and editing type; equal for all rows if there is neither.

    Args:
        table: labels, with the combination's first, then numbers.
    """
    columns = list(table.columns)
    split = next((columns.index(column) for column in _WITHIN_COMBINATION if column in columns), 0)
    return [row[:split] for row in table.itertuples(index=False, name=None)]


def _ranks(values: Mapping[int, float], better: Literal["higher", "lower"]) -> dict[int, Mark]:
    if len(values) < 2:
        return {}
    order = sorted(set(values.values()), reverse=better == "higher")
    marks = dict(zip(order, (Mark.BEST, Mark.SECOND), strict=False))
    return {row: marks[value] for row, value in values.items() if value in marks}
