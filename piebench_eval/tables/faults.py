"""Means of scored pictures that cannot be true, or cannot be compared, by the linter's rules."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.rules.bound import mse_below_psnr
from piebench_eval.lint.rules.pictures import fewer_pictures
from piebench_eval.lint.rules.ranges import out_of_range
from piebench_eval.lint.table import Level, Row, Table, Value, standard_column
from piebench_eval.metrics.columns import MSE, PSNR
from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from piebench_eval.lint.table import Finding
    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.formats.marks import Marks

_RULES = (mse_below_psnr, out_of_range, fewer_pictures)
_DECIBELS = 0.1
"""How far a picture's PSNR may be from that of its MSE."""


def find_faults(means: pd.DataFrame, rules: AverageRules) -> list[Finding]:
    """Apply the linter's rules to means.

    Args:
        means: from ``aggregate``.
        rules: how scores were averaged. Where pictures without a score count as 0, MSE and PSNR are not held
            against each other.

    Returns:
        What is impossible or cannot be compared; ``line`` is the row's position.
    """
    labels = label_columns(means)
    rows = tuple(
        _row(mean, position, labels, rules) for position, mean in enumerate(means.to_dict(orient="records"))
    )
    table = Table("the means", rows, {key: standard_column(key) for row in rows for key in row.values})
    return [one for rule in _RULES for one in rule(table) if one.level is not Level.NOTE]


def fault_marks(faults: list[Finding]) -> Marks:
    """Mark the numbers that cannot be true."""
    return {
        (one.line, one.keys[0]): Mark.FAULTY
        for one in faults
        if one.line is not None and one.keys and one.level is Level.IMPOSSIBLE
    }


def fault_remarks(faults: list[Finding], rows: pd.DataFrame) -> list[str]:
    """A remark for each fault, and for each combination whose pictures have a PSNR that is not of their MSE.

    Args:
        faults: from ``find_faults``.
        rows: the scores behind the means.
    """
    return [f"{one.row}: {one.what}; {one.mend}" for one in faults] + _mismatches(rows)


def _row(mean: Mapping[Any, Any], position: int, labels: list[str], rules: AverageRules) -> Row:
    numbers = {key: float(mean[key]) for key in QUANTITIES if key in mean and math.isfinite(mean[key])}
    counts = {key: int(mean[f"{key}_n"]) for key in numbers}
    if rules.nan == "zero" or counts.get("mse") != counts.get("psnr"):
        numbers.pop("mse", None)  # the means are not over the same pictures
    return Row(
        name=combination_name(mean, labels),
        values={key: Value(f"{number:.2f}", Decimal(number)) for key, number in numbers.items()},
        line=position,
        images=int(mean["images"]),
    )


def _mismatches(rows: pd.DataFrame) -> list[str]:
    """Combinations with pictures whose PSNR and MSE are of different pictures, regions or units."""
    if not {MSE, PSNR} <= set(rows.columns):
        return []
    labels = label_columns(rows)
    mse, psnr = rows[MSE].to_numpy(dtype=float), rows[PSNR].to_numpy(dtype=float)
    known = np.isfinite(psnr) & (mse > 0)
    apart = np.zeros(len(rows), dtype=bool)
    apart[known] = np.abs(psnr[known] + 10 * np.log10(mse[known])) > _DECIBELS
    names = [combination_name(row, labels) for row in rows.loc[apart, labels].to_dict(orient="records")]
    return [
        f"{name}: PSNR is not -10 log10 of MSE in {number} pictures: they were scored in different regions, "
        "or in "
        "another range than 0..1"
        for name, number in Counter(names).items()
    ]
