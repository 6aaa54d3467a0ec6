"""Holding a table against an earlier one: what moved, and by more than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


def departures(means: pd.DataFrame, baseline: pd.DataFrame, tolerances: Mapping[str, float]) -> list[str]:
    """Say where a table left its baseline.

    Args:
        means: a table of means, as ``aggregate`` makes it or ``table.csv`` holds it.
        baseline: likewise; rows that only ``means`` has are not compared.
        tolerances: how far each of Table 1's metrics may move either way, in its printed unit. Metrics that
            the baseline does not have are not compared.

    Returns:
        A line per cell that moved too far or is missing and per combination that is missing; empty if nothing
        did.
    """
    measured = {combination_name(row, label_columns(means)): row for _, row in means.iterrows()}
    lines = []
    for _, expected in baseline.iterrows():
        name = combination_name(expected, label_columns(baseline))
        if name not in measured:
            lines.append(f"{name}: missing")
            continue
        row = measured[name]
        if row["images"] != expected["images"]:
            lines.append(f"{name}: {row['images']} images, the baseline has {expected['images']}")
        for key in (metric.key for metric in METRICS if metric.key in baseline.columns):
            if key not in means.columns:
                lines.append(f"{name}: {key} is missing")
                continue
            now, then = float(row[key]), float(expected[key])
            if not np.isclose(now, then, rtol=0, atol=tolerances[key], equal_nan=True):
                allowed = f"at most {tolerances[key]:g} is allowed"
                lines.append(f"{name}: {key} {then:.3f} -> {now:.3f}, {allowed}")
    return lines
