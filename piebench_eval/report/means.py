"""The table of means on the page and as downloads, with intervals, ranks and the cost of an edit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piebench_eval.report import paths
from piebench_eval.tables.formats.marks import rank_marks
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.views import means_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.report.content import ReportCombination, ReportContent
    from piebench_eval.tables.layout import TableMetric

_DECIMALS = 2


@dataclass(frozen=True)
class MeansCell:
    """A cell of the table of means.

    Attributes:
        text: the number.
        number: the same with all digits, to sort by; empty for nan.
        title: its interval and number of values.
        mark: ``best`` or ``second`` of an editing method; else empty.
    """

    text: str
    number: str
    title: str = ""
    mark: str = ""


@dataclass(frozen=True)
class MeansRow:
    """A row of the table of means.

    Attributes:
        combination: the combination.
        images: number of scored images.
        means: a cell per metric.
        costs: seconds and model evaluations of an edit; empty if no run of the report recorded them.
    """

    combination: ReportCombination
    images: int
    means: Sequence[MeansCell]
    costs: Sequence[MeansCell]


def means_rows(content: ReportContent, metrics: Sequence[TableMetric]) -> list[MeansRow]:
    """The rows of the table of means.

    Args:
        content: the report's content.
        metrics: the columns.
    """
    means = content.score_table.means
    marks = rank_marks(means, metrics)
    return [
        MeansRow(
            combination,
            int(row["images"]),
            [_mean(row, metric, str(marks.get((position, metric.key), ""))) for metric in metrics],
            _costs(content, combination),
        )
        for position, (combination, row) in enumerate(
            zip(content.combinations, means.to_dict(orient="records"), strict=True)
        )
    ]


def downloads(content: ReportContent, remarks: Sequence[str]) -> Mapping[str, bytes]:
    """The table of means as files: CSV with every metric and all digits, LaTeX as ``piebench table`` has it.

    Args:
        content: the report's content.
        remarks: remarks on the scores; comments in LaTeX.
    """
    files = {}
    for name, text_format in ((paths.TABLE_CSV, "csv"), (paths.TABLE_LATEX, "latex")):
        exact = text_format == "csv"
        view = means_view(content.score_table, content.score_table.metrics(every=exact))
        table = content.score_table.for_programs(view.table) if exact else view.table
        table = content.score_table.labelled(table)
        files[name] = to_text(table, text_format, remarks, view.marks, view.sections).encode()
    return files


def number_text(number: float) -> str:
    """A number as the page shows it; empty for nan."""
    return "" if math.isnan(number) else f"{number:.{_DECIMALS}f}"


def _mean(row: Mapping[Any, Any], metric: TableMetric, mark: str) -> MeansCell:
    mean, low, high, n = (row[f"{metric.key}{part}"] for part in ("", "_low", "_high", "_n"))
    title = "1 value" if n == 1 else f"{n} values"
    if not math.isnan(low):
        title = f"95% interval {number_text(low)} to {number_text(high)}, {title}"
    return MeansCell(number_text(mean), _exact(mean), title, mark)


def _costs(content: ReportContent, combination: ReportCombination) -> list[MeansCell]:
    if not content.costs:
        return []
    cost = content.costs.get(combination.name)
    if cost is None:
        return [MeansCell("", ""), MeansCell("", "")]
    return [
        MeansCell(number_text(cost.seconds), _exact(cost.seconds)),
        MeansCell(f"{cost.evaluations:.0f}", _exact(cost.evaluations)),
    ]


def _exact(number: float) -> str:
    return "" if math.isnan(number) else repr(float(number))
