"""From one row per picture to one row per combination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.tables.layout import INVERSION_ORDER, METHOD_ORDER, METRICS, order_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def read_scores(file: Path) -> pd.DataFrame:
    """Read a scores file.

    Raises:
        PiebenchError: it is missing, is no CSV, or lacks a column.
    """
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; make it with piebench score")
    try:
        # Only "nan" in a score is a missing value: a method may well be called "null" or "NA".
        scores = pd.read_csv(file, dtype=str, keep_default_na=False)
        for column in set(COLUMNS) & set(scores.columns):
            scores[column] = scores[column].astype(float)
    except (ValueError, pd.errors.ParserError) as error:
        raise PiebenchError(f"{file}: is no scores file ({error})") from None
    missing = [column for column in ("id", *COLUMNS) if column not in scores.columns]
    if missing or not label_columns(scores):
        what = ", ".join(missing) or "inversion and method, or name"
        raise PiebenchError(f"{file}: has no column {what}; make the file with piebench score")
    if scores.empty:
        raise PiebenchError(f"{file}: has no rows; make the file with piebench score")
    return scores


def read_table(file: Path) -> pd.DataFrame:
    """Read a table of means, as ``table.csv`` holds it; labels stay text, empty ones too."""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    labels = [label for label in ("model", "method", "inversion", "name") if label in table.columns]
    return table.fillna(dict.fromkeys(labels, ""))


def label_columns(scores: pd.DataFrame) -> list[str]:
    """The columns that tell combinations apart: method and inversion, or name."""
    for labels in (["method", "inversion"], ["name"]):
        if all(label in scores.columns for label in labels):
            return labels
    return []


def combination_name(row: Mapping[Any, Any] | pd.Series, labels: Sequence[str]) -> str:
    """What a row of means is called: ``inversion+method``, or a name alone."""
    return "+".join(str(row[label]) for label in reversed(labels) if row[label])


def aggregate(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean scores per combination, in the units of Table 1.

    nan (no picture outside the mask) and inf (PSNR of identical pictures) are left out of a mean, and
    counted. Where every picture is identical, the mean is inf.

    Args:
        scores: from ``read_scores``.

    Returns:
        A row per combination: labels, images, for each metric its mean, ``<metric>_sem`` (standard error of
        the mean), ``<metric>_nan`` and ``<metric>_inf`` (values left out), in the order of Table 1.
    """
    labels = label_columns(scores)
    rows: list[dict[str, Any]] = []
    for names, group in scores.groupby(labels, sort=False):
        row: dict[str, Any] = {**dict(zip(labels, names, strict=True)), "images": len(group)}
        for metric in METRICS:
            values = group[metric.column].to_numpy(dtype=float) * metric.scale
            finite = values[np.isfinite(values)]
            row[metric.key] = finite.mean() if len(finite) else values.max()
            row[f"{metric.key}_sem"] = (
                finite.std(ddof=1) / np.sqrt(len(finite)) if len(finite) > 1 else np.nan
            )
            row[f"{metric.key}_nan"] = int(np.isnan(values).sum())
            row[f"{metric.key}_inf"] = int(np.isinf(values).sum())
        rows.append(row)
    rows.sort(
        key=lambda row: (
            order_of(row.get("method", ""), METHOD_ORDER),
            order_of(row.get("inversion", row.get("name", "")), INVERSION_ORDER),
        )
    )
    return pd.DataFrame(rows)


def left_out(table: pd.DataFrame) -> list[str]:
    """Say, for each combination, how many values its means leave out."""
    labels = label_columns(table)
    lines = []
    for _, row in table.iterrows():
        what = []
        for metric in METRICS:
            if np.isinf(row[metric.key]):
                continue
            nan, inf = row[f"{metric.key}_nan"], row[f"{metric.key}_inf"]
            what += [f"{metric.key} {count} {kind}" for count, kind in ((nan, "nan"), (inf, "inf")) if count]
        if what:
            name = combination_name(row, labels)
            lines.append(f"{name}: means leave out {', '.join(what)} of {row['images']} values")
    return lines
