"""Compare a table of means with a baseline, within tolerances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

_VISIBLE = 5e-4
"""Differences below this are invisible in the three decimals of messages."""


@dataclass(frozen=True)
class ComparedCell:
    """One mean of a baseline beside the measured one.

    Attributes:
        combination: ``inversion+method``, or a name.
        metric: key of the metric.
        baseline: the baseline's mean.
        measured: the measured mean; None if missing.
        tolerance: largest allowed difference, in the printed unit.
        low: lower end of the measured mean's 95% interval; nan if there is none.
        high: upper end.
        row_is_missing: whether the whole combination is missing.
    """

    combination: str
    metric: str
    baseline: float
    measured: float | None
    tolerance: float
    low: float = np.nan
    high: float = np.nan
    row_is_missing: bool = False

    @property
    def difference(self) -> float:
        """Measured mean - baseline; 0 for equal infinities, nan if either is missing."""
        if self.measured is None:
            return np.nan
        return 0.0 if self.measured == self.baseline else self.measured - self.baseline

    @property
    def failed(self) -> bool:
        """Whether the mean is missing or differs by more than the tolerance; nan equals only nan."""
        return self.measured is None or not np.isclose(
            self.measured, self.baseline, rtol=0, atol=self.tolerance, equal_nan=True
        )

    @property
    def moved(self) -> bool:
        """Whether the mean is missing or differs visibly, within its tolerance or beyond."""
        return self.failed or abs(self.difference) >= _VISIBLE

    @property
    def baseline_inside(self) -> bool | None:
        """Whether the baseline lies in the measured 95% interval; None without an interval."""
        if np.isnan([self.low, self.high]).any():
            return None
        return bool(self.low <= self.baseline <= self.high)

    @property
    def line(self) -> str:
        """The comparison in words."""
        if self.row_is_missing:
            return f"{self.combination}: missing"
        if self.measured is None:
            return f"{self.combination}: {self.metric} is missing"
        allowed = f"at most {self.tolerance:g} is allowed"
        return f"{self.combination}: {self.metric} {self.baseline:.3f} -> {self.measured:.3f}, {allowed}"


def metric_keys(table: pd.DataFrame) -> list[str]:
    """The metrics of a table of means: Table 1's, and every column that has a count of nan beside it."""
    known = {metric.key for metric in TABLE_METRICS}
    return [column for column in table.columns if column in known or f"{column}_nan" in table.columns]


def compare(
    means: pd.DataFrame, baseline: pd.DataFrame, tolerances: Mapping[str, float]
) -> list[ComparedCell]:
    """Compare every cell of a baseline with a table.

    The tolerance decides, not the interval. An interval says how a mean would vary over other images; here
    the same images were edited by the same recipe, and only rounding may change them. With few images,
    intervals are so wide that a broken editing method stays inside them.

    Args:
        means: a table of means, as ``aggregate`` makes it or ``table.csv`` holds it.
        baseline: likewise; rows and metrics that only ``means`` has are not compared.
        tolerances: largest allowed difference of each metric.

    Returns:
        The baseline's cells, row by row.
    """
    current = {combination_name(row, label_columns(means)): row for _, row in means.iterrows()}
    cells = []
    for _, expected in baseline.iterrows():
        name = combination_name(expected, label_columns(baseline))
        row = current.get(name)
        for key in metric_keys(baseline):
            before, tolerance = float(expected[key]), tolerances[key]
            if row is None or key not in means.columns:
                cells.append(ComparedCell(name, key, before, None, tolerance, row_is_missing=row is None))
                continue
            low, high = (float(row.get(f"{key}_{end}", np.nan)) for end in ("low", "high"))
            cells.append(ComparedCell(name, key, before, float(row[key]), tolerance, low, high))
    return cells


def failures(cells: Iterable[ComparedCell]) -> list[str]:
    """A line per failed cell, and one per missing combination."""
    return list(dict.fromkeys(cell.line for cell in cells if cell.failed))
