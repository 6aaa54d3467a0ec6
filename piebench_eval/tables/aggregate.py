"""From one row per picture to one row per combination."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.tables.editing_types import of_types, require_type_column, type_label, type_order
from piebench_eval.tables.layout import metrics_in, place_of
from piebench_eval.tables.statistics.averages import averages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric

RUN = "run"
"""Column that tells apart what several runs call alike; absent where nothing is."""

LABELS = ("model", "method", "inversion", "name", RUN, "type")
"""Columns of a table of means that say what a row is of, in their order."""


def read_scores(file: Path) -> pd.DataFrame:
    """Read a scores file, with any metrics; columns that are no metric's stay text.

    Raises:
        PiebenchError: it is missing, is no CSV, lacks a column, or has a score that is no number.
    """
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; make it with piebench score")
    try:
        # Only "nan" in a score is a missing value: a method may well be called "null" or "NA".
        scores = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise PiebenchError(f"{file}: is no scores file ({error})") from None
    metrics = metrics_in(scores.columns)
    needs = {
        "id": "id" in scores.columns,
        "inversion and method, or name": bool(label_columns(scores)),
        "of a metric": bool(metrics),
    }
    if missing := [what for what, is_there in needs.items() if not is_there]:
        raise PiebenchError(f"{file}: has no column {', '.join(missing)}; make the file with piebench score")
    if scores.empty:
        raise PiebenchError(f"{file}: has no rows; make the file with piebench score")
    return scores.assign(**{metric.column: _numbers(scores, metric.column, file) for metric in metrics})


def _numbers(scores: pd.DataFrame, column: str, file: Path) -> pd.Series:
    try:
        return scores[column].astype(float)
    except ValueError:
        index = next(index for index, text in enumerate(scores[column]) if not _is_number(text))
        raise PiebenchError(
            f"{file}: column {column}, row {index + 2} (id {scores['id'][index]}): "
            f"{scores[column][index]!r} is no number; put a number, nan or inf there"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(file: Path) -> pd.DataFrame:
    """Read a table of means, as ``table.csv`` holds it; labels stay text, empty ones too."""
    table = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return table.fillna(dict.fromkeys([label for label in LABELS if label in table.columns], ""))


def label_columns(scores: pd.DataFrame) -> list[str]:
    """The columns that tell combinations apart: method and inversion, or name; and run, where it is there."""
    for labels in (["method", "inversion"], ["name"]):
        if all(label in scores.columns for label in labels):
            return [*labels, RUN] if RUN in scores.columns else labels
    return []


def combination_name(row: Mapping[Any, Any] | pd.Series, labels: Sequence[str]) -> str:
    """What a row of means is called: ``inversion+method``, or a name alone; behind its run, if any."""
    name = "+".join(str(row[label]) for label in reversed(labels) if label != RUN and row[label])
    return f"{row[RUN]}/{name}" if RUN in labels and row[RUN] else name


def aggregate(
    scores: pd.DataFrame, rules: AverageRules = PAPER.average, by_type: bool = False
) -> pd.DataFrame:
    """Mean scores per combination, in the units of tables.

    By the paper's rules nan (no picture outside the mask) and inf (PSNR of identical pictures) are left out
    of a mean, and counted. Where every picture is identical, the mean is inf.

    Args:
        scores: from ``read_scores``.
        rules: what counts, and how PSNRs are averaged.
        by_type: a row per combination and editing type.

    Returns:
        A row per combination, in the order of Table 1: labels, images, and for each metric its mean, under
        its key, and the other numbers of an ``Average`` as ``<metric>_sem``, ``_low``, ``_high``, ``_n``,
        ``_nan`` and ``_inf``. By type there is one more label, such as ``1 change object``.

    Raises:
        PiebenchError: types are asked for, and the scores have none of them.
    """
    scores = of_types(scores, rules.types)
    groups, metrics = label_columns(scores), metrics_in(scores.columns)
    if by_type:
        require_type_column(scores)
        groups = [*groups, "type"]
    rows: list[dict[str, Any]] = [
        {**dict(zip(groups, names, strict=True)), "images": len(group), **_cells(group, metrics, rules)}
        for names, group in scores.groupby(groups, sort=False)
    ]
    rows.sort(key=lambda row: (*place_of(row), type_order(row.get("type", ""))))
    table = pd.DataFrame(rows)
    return table.assign(type=table["type"].map(type_label)) if by_type else table


def _cells(scores: pd.DataFrame, metrics: Sequence[TableMetric], rules: AverageRules) -> dict[str, float]:
    cells: dict[str, float] = {}
    for metric, average in zip(metrics, averages(scores, metrics, rules), strict=True):
        numbers = asdict(average)
        cells[metric.key] = numbers.pop("mean")
        cells |= {f"{metric.key}_{what}": number for what, number in numbers.items()}
    return cells


def left_out(table: pd.DataFrame) -> list[str]:
    """Say, for each combination, how many values its means leave out."""
    labels = label_columns(table)
    keys = [column for column in table.columns if f"{column}_nan" in table.columns]
    lines = []
    for _, row in table.iterrows():
        what = []
        for key in keys:
            if np.isinf(row[key]):
                continue
            counts = ((row[f"{key}_nan"], "nan"), (row[f"{key}_inf"], "inf"))
            what += [f"{key} {count} {kind}" for count, kind in counts if count]
        if what:
            name = combination_name(row, labels)
            lines.append(f"{name}: means leave out {', '.join(what)} of {row['images']} values")
    return lines
