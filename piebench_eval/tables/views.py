"""The tables that there are: what each shows of the scores, and what it says beside that."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.tables.aggregate import LABELS, aggregate, left_out
from piebench_eval.tables.formats.marks import rank_marks, verdict_marks
from piebench_eval.tables.formats.sections import by_method
from piebench_eval.tables.paper.agreement import agreement_line
from piebench_eval.tables.paper.beside_paper import beside_paper
from piebench_eval.tables.paper.compare import compare_with_paper
from piebench_eval.tables.paper.tolerances import tolerance_line
from piebench_eval.tables.statistics.averages import Average
from piebench_eval.tables.statistics.paired_comparison import versus_all, versus_remarks

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from piebench_eval.tables.formats.marks import Marks
    from piebench_eval.tables.layout import TableMetric
    from piebench_eval.tables.score_table import ScoreTable


@dataclass(frozen=True)
class View:
    """A table for readers.

    Attributes:
        table: labels first, then numbers.
        remarks: what it leaves out, or what stands in the way of a verdict.
        marks: what stands out in it.
        sections: what each row is of, where that is not the combination: rows of a kind stand together.
    """

    table: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    marks: Marks = field(default_factory=dict)
    sections: Sequence[Hashable] | None = None


def means_view(source: ScoreTable, metrics: Sequence[TableMetric]) -> View:
    """Table 1's layout: inversions by editing method, a column per metric, the best means marked."""
    means = source.means
    return View(_means_alone(means, metrics), left_out(means), rank_marks(means, metrics), by_method(means))


def by_type_view(source: ScoreTable, metrics: Sequence[TableMetric]) -> View:
    """The means alone per combination and editing type."""
    means = aggregate(source.rows, source.rules, by_type=True)
    return View(_means_alone(means, metrics), left_out(source.means))


def comparison_view(source: ScoreTable) -> View:
    """The means beside the published ones, for Table 1's metrics, and whether their order is the same."""
    comparison = compare_with_paper(source.means, source.about, source.rules)
    agreement = agreement_line(source.means)
    remarks = [*left_out(source.means), *comparison.obstacles, *comparison.remarks, tolerance_line()]
    return View(
        comparison.table,
        [*remarks, agreement] if agreement else remarks,
        verdict_marks(comparison.table),
    )


def beside_paper_view(source: ScoreTable) -> View:
    """The means with the paper's rows between them, for scores of several runs and folders."""
    table, lines, marks = beside_paper(source)
    remarks = [*left_out(source.means), *lines, *([tolerance_line()] if marks else [])]
    return View(table, remarks, marks, by_method(table))


def versus_view(source: ScoreTable, name: str, metrics: Sequence[TableMetric]) -> View:
    """Every other combination against one, picture by picture."""
    table = versus_all(source.rows, name, metrics)
    return View(table, versus_remarks(table))


def intervals_view(source: ScoreTable, metrics: Sequence[TableMetric]) -> View:
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
