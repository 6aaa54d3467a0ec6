"""Holding a table against an earlier one: what moved, and by more than it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

_VISIBLE = 5e-4
"""Differences below this do not show in the three decimals that messages have."""


@dataclass(frozen=True)
class Cell:
    """One mean of a baseline, and what has become of it.

    Attributes:
        combination: ``inversion+method``, or a name.
        metric: key of the metric.
        then: the baseline's mean.
        now: today's; None where there is none.
        tolerance: how far it may move, either way, in its printed unit.
        low: lower end of today's 95% interval; nan where there is none.
        high: upper end.
        row_is_missing: whether the whole combination is.
    """

    combination: str
    metric: str
    then: float
    now: float | None
    tolerance: float
    low: float = np.nan
    high: float = np.nan
    row_is_missing: bool = False

    @property
    def difference(self) -> float:
        """Today's mean less the baseline's; 0 for equal infinities, nan where either is missing."""
        if self.now is None:
            return np.nan
        return 0.0 if self.now == self.then else self.now - self.then

    @property
    def failed(self) -> bool:
        """Whether it moved by more than it may, or is missing. A number and no number are never near."""
        return self.now is None or not np.isclose(
            self.now, self.then, rtol=0, atol=self.tolerance, equal_nan=True
        )

    @property
    def moved(self) -> bool:
        """Whether there is something to see: it moved, within its tolerance or beyond, or is missing."""
        return self.failed or abs(self.difference) >= _VISIBLE

    @property
    def baseline_inside(self) -> bool | None:
        """Whether the baseline lies in today's 95% interval; None where there is no interval."""
        if np.isnan([self.low, self.high]).any():
            return None
        return bool(self.low <= self.then <= self.high)

    @property
    def line(self) -> str:
        """What became of it, in words."""
        if self.row_is_missing:
            return f"{self.combination}: missing"
        if self.now is None:
            return f"{self.combination}: {self.metric} is missing"
        allowed = f"at most {self.tolerance:g} is allowed"
        return f"{self.combination}: {self.metric} {self.then:.3f} -> {self.now:.3f}, {allowed}"


def metric_keys(table: pd.DataFrame) -> list[str]:
    """The metrics of a table of means: Table 1's, and every column that has a count of nan beside it."""
    known = {metric.key for metric in METRICS}
    return [column for column in table.columns if column in known or f"{column}_nan" in table.columns]


def compare(means: pd.DataFrame, baseline: pd.DataFrame, tolerances: Mapping[str, float]) -> list[Cell]:
    """Find every cell of a baseline in a table.

    What decides is the tolerance, not the interval. An interval says how a mean would vary over other
    pictures; here the same pictures were edited by the same recipe, and nothing but rounding may move them.
    On few pictures intervals are so wide that a broken editing method stays inside them.

    Args:
        means: a table of means, as ``aggregate`` makes it or ``table.csv`` holds it.
        baseline: likewise; rows and metrics that only ``means`` has are not compared.
        tolerances: how far each metric may move.

    Returns:
        The baseline's cells, row by row.
    """
    measured = {combination_name(row, label_columns(means)): row for _, row in means.iterrows()}
    cells = []
    for _, expected in baseline.iterrows():
        name = combination_name(expected, label_columns(baseline))
        row = measured.get(name)
        for key in metric_keys(baseline):
            then, tolerance = float(expected[key]), tolerances[key]
            if row is None or key not in means.columns:
                cells.append(Cell(name, key, then, None, tolerance, row_is_missing=row is None))
                continue
            low, high = (float(row.get(f"{key}_{end}", np.nan)) for end in ("low", "high"))
            cells.append(Cell(name, key, then, float(row[key]), tolerance, low, high))
    return cells


def failures(cells: Iterable[Cell]) -> list[str]:
    """A line for each cell that moved too far or is missing, and one for each combination that is."""
    return list(dict.fromkeys(cell.line for cell in cells if cell.failed))
