"""The tables that there are: what each shows of the scores, and what it says beside that."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.tables.aggregate import LABELS, aggregate, left_out
from piebench_eval.tables.averages import Average
from piebench_eval.tables.compare import compare_with_paper
from piebench_eval.tables.versus import versus_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.tables.layout import TableMetric
    from piebench_eval.tables.source import Source


@dataclass(frozen=True)
class View:
    """A table for readers.

    Attributes:
        table: labels first, then numbers.
        remarks: what it leaves out, or what stands in the way of a verdict.
    """

    table: pd.DataFrame
    remarks: list[str] = field(default_factory=list)


def means_view(source: Source, metrics: Sequence[TableMetric]) -> View:
    """The means alone: a row per combination, a column per metric."""
    return View(_means_alone(source.means, metrics), left_out(source.means))


def by_type_view(source: Source, metrics: Sequence[TableMetric]) -> View:
    """The same per combination and editing type."""
    means = aggregate(source.rows, source.rules, by_type=True)
    return View(_means_alone(means, metrics), left_out(source.means))


def comparison_view(source: Source) -> View:
    """The means beside the published ones, for Table 1's metrics."""
    comparison = compare_with_paper(source.means, source.about, source.rules)
    remarks = [*left_out(source.means), *comparison.obstacles, *comparison.remarks]
    return View(comparison.table, remarks)


def versus_view(source: Source, name: str, metrics: Sequence[TableMetric]) -> View:
    """Every other combination against one, picture by picture."""
    table = versus_all(source.rows, name)
    return View(table[table["metric"].isin([metric.key for metric in metrics])])


def intervals_view(source: Source, metrics: Sequence[TableMetric]) -> View:
    """Every mean with how sure it is: labels, metric, and the fields of ``Average``."""
    labels = _labels(source.means)
    numbers = [field.name for field in fields(Average)]
    rows = [
        {label: row[label] for label in labels}
        | {"metric": metric.key}
        | {name: row[metric.key if name == "mean" else f"{metric.key}_{name}"] for name in numbers}
        for row in source.means.to_dict(orient="records")
        for metric in metrics
    ]
    return View(pd.DataFrame(rows), left_out(source.means))


def _means_alone(means: pd.DataFrame, metrics: Sequence[TableMetric]) -> pd.DataFrame:
    return means[[*_labels(means), "images", *(metric.key for metric in metrics)]]


def _labels(means: pd.DataFrame) -> list[str]:
    return [label for label in LABELS if label in means.columns]
