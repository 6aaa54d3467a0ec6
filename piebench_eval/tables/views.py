"""The tables of ``piebench table``: means, by type, beside the paper, paired comparison, intervals."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.tables.aggregate import LABELS, aggregate, omission_remarks
from piebench_eval.tables.faults import fault_marks, fault_remarks, find_faults
from piebench_eval.tables.formats.marks import by_method, rank_marks, verdict_marks
from piebench_eval.tables.paper.agreement import agreement_line
from piebench_eval.tables.paper.beside_paper import with_paper_rows
from piebench_eval.tables.paper.compare import compare_with_paper
from piebench_eval.tables.paper.tolerances import tolerance_line
from piebench_eval.tables.statistics.averages import Average
from piebench_eval.tables.statistics.paired_comparison import compare_all_with, comparison_remarks

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
        remarks: what it leaves out, and why a verdict is missing.
        marks: numbers to highlight.
        sections: a key per row, with a rule wherever it changes; None for the combination.
    """

    table: pd.DataFrame
    remarks: list[str] = field(default_factory=list)
    marks: Marks = field(default_factory=dict)
    sections: Sequence[Hashable] | None = None


def means_view(score_table: ScoreTable, metrics: Sequence[TableMetric]) -> View:
    """Table 1's layout: inversions by editing method, a column per metric, the best means marked.

    Means that cannot be true are marked so, and named in the remarks.
    """
    means = score_table.means
    faults = find_faults(means, score_table.rules)
    return View(
        _means_alone(means, metrics),
        [*omission_remarks(means), *fault_remarks(faults, score_table.rows)],
        {**rank_marks(means, metrics), **fault_marks(faults)},
        by_method(means),
    )


def by_type_view(score_table: ScoreTable, metrics: Sequence[TableMetric]) -> View:
    """The means per combination and editing type, without intervals."""
    means = aggregate(score_table.rows, score_table.rules, by_type=True)
    return View(_means_alone(means, metrics), omission_remarks(score_table.means))


def comparison_view(score_table: ScoreTable) -> View:
    """The means beside the published ones, for Table 1's metrics, and how alike both rank combinations."""
    comparison = compare_with_paper(score_table.means, score_table.provenance, score_table.rules)
    agreement = agreement_line(score_table.means)
    remarks = [
        *omission_remarks(score_table.means),
        *comparison.obstacles,
        *comparison.remarks,
        tolerance_line(),
    ]
    return View(
        comparison.table,
        [*remarks, agreement] if agreement else remarks,
        verdict_marks(comparison.table),
    )


def beside_paper_view(score_table: ScoreTable) -> View:
    """The means with the paper's rows between them, for several runs and folders."""
    table, lines, marks = with_paper_rows(score_table)
    remarks = [*omission_remarks(score_table.means), *lines, *([tolerance_line()] if marks else [])]
    return View(table, remarks, marks, by_method(table))


def paired_comparison_view(score_table: ScoreTable, name: str, metrics: Sequence[TableMetric]) -> View:
    """Paired comparison of every other combination with one, image by image."""
    table = compare_all_with(score_table.rows, name, metrics)
    return View(table, comparison_remarks(table))


def intervals_view(score_table: ScoreTable, metrics: Sequence[TableMetric]) -> View:
    """Every mean with its uncertainty: labels, metric, and the fields of ``Average``."""
    labels = _labels(score_table.means)
    numbers = [field.name for field in fields(Average)]
    rows = [
        {label: row[label] for label in labels}
        | {"metric": metric.key}
        | {name: row[metric.key if name == "mean" else f"{metric.key}_{name}"] for name in numbers}
        for row in score_table.means.to_dict(orient="records")
        for metric in metrics
    ]
    return View(pd.DataFrame(rows), omission_remarks(score_table.means))


def _means_alone(means: pd.DataFrame, metrics: Sequence[TableMetric]) -> pd.DataFrame:
    return means[[*_labels(means), "images", *(metric.key for metric in metrics)]]


def _labels(means: pd.DataFrame) -> list[str]:
    return [label for label in LABELS if label in means.columns]
