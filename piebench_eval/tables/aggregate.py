"""Mean scores of each combination."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.metrics.protocol import PAPER
from piebench_eval.tables.layout import metrics_in, row_order, type_label, type_order
from piebench_eval.tables.scores import (
    RUN,
    combination_name,
    counted_rows,
    label_columns,
    require_type_column,
)
from piebench_eval.tables.statistics.averages import averages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric

LABELS = ("model", "method", "inversion", "name", RUN, "type")
"""The label columns of a table of means, in order."""


def aggregate(
    scores: pd.DataFrame, rules: AverageRules = PAPER.average, by_type: bool = False
) -> pd.DataFrame:
    """Mean scores per combination, in the units of tables.

    The paper's rules leave nan (a mask that covers the whole image) and inf (PSNR of identical images) out of
    a mean, and count them. If all images are identical, the mean is inf.

    Args:
        scores: from ``read_scores``.
        rules: which values are averaged, and how PSNRs are.
        by_type: a row per combination and editing type.

    Returns:
        A row per combination, in the order of Table 1: labels, images, and for each metric its mean, under
        its key, and the other numbers of an ``Average`` as ``<metric>_sem``, ``_low``, ``_high``, ``_n``,
        ``_nan`` and ``_inf``. By type there is one more label, such as ``1 change object``.

    Raises:
        PiebenchError: editing types are needed, and the scores do not have them.
    """
    scores = counted_rows(scores, rules)
    groups, metrics = label_columns(scores), metrics_in(scores.columns)
    if by_type:
        require_type_column(scores)
        groups = [*groups, "type"]
    rows: list[dict[str, Any]] = [
        {**dict(zip(groups, names, strict=True)), "images": len(group), **_cells(group, metrics, rules)}
        for names, group in scores.groupby(groups, sort=False)
    ]
    rows.sort(key=lambda row: (*row_order(row), type_order(row.get("type", ""))))
    table = pd.DataFrame(rows)
    return table.assign(type=table["type"].map(type_label)) if by_type else table


def _cells(scores: pd.DataFrame, metrics: Sequence[TableMetric], rules: AverageRules) -> dict[str, float]:
    cells: dict[str, float] = {}
    for metric, average in zip(metrics, averages(scores, metrics, rules), strict=True):
        numbers = asdict(average)
        cells[metric.key] = numbers.pop("mean")
        cells |= {f"{metric.key}_{field}": number for field, number in numbers.items()}
    return cells


def omission_remarks(table: pd.DataFrame) -> list[str]:
    """Lines per combination: whose means leave out values, with their number, and which means there are none.

    There is none of a metric that was not computed, as of another run in the same table, or that is nan for
    every image.
    """
    labels = label_columns(table)
    keys = [column for column in table.columns if f"{column}_nan" in table.columns]
    lines = []
    for _, row in table.iterrows():
        omitted, absent = [], []
        for key in keys:
            if np.isinf(row[key]):
                continue
            if row[f"{key}_nan"] == row["images"]:
                absent.append(key)
                continue
            counts = ((row[f"{key}_nan"], "nan"), (row[f"{key}_inf"], "inf"))
            omitted += [f"{key} {count} {kind}" for count, kind in counts if count]
        name = combination_name(row, labels)
        if omitted:
            lines.append(f"{name}: means leave out {', '.join(omitted)} of {row['images']} values")
        if absent:
            lines.append(f"{name}: no mean of {', '.join(absent)}, not computed or nan for every image")
    return lines


def read_table(file: Path) -> pd.DataFrame:
    """Read a table of means, such as ``table.csv``; labels stay text, also if empty."""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return table.fillna(dict.fromkeys([label for label in LABELS if label in table.columns], ""))
