"""The table of means as the page and its downloads have it: intervals, ranks, and what an edit took."""

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

    from piebench_eval.report.run import Combination, ScoredRun
    from piebench_eval.tables.layout import TableMetric

_DECIMALS = 2


@dataclass(frozen=True)
class Cell:
    """A cell of the table of means.

    Attributes:
        text: the number.
        number: the same with all digits, to sort by; empty for nan.
        title: its interval and how many values it rests on.
        mark: ``best`` or ``second`` of an editing method; else empty.
    """

    text: str
    number: str
    title: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table of means.

    Attributes:
        combination: what it is of.
        images: how many pictures were scored.
        means: a cell per metric.
        costs: seconds and UNet evaluations of an edit; none where no run of the report knows them.
    """

    combination: Combination
    images: int
    means: Sequence[Cell]
    costs: Sequence[Cell]


def means_rows(run: ScoredRun, metrics: Sequence[TableMetric]) -> list[Row]:
    """The rows of the table of means.

    Args:
        run: what the report is of.
        metrics: the columns.
    """
    means = run.source.means
    marks = rank_marks(means, metrics)
    return [
        Row(
            combination,
            int(row["images"]),
            [_mean(row, metric, str(marks.get((place, metric.key), ""))) for metric in metrics],
            _costs(run, combination),
        )
        for place, (combination, row) in enumerate(
            zip(run.combinations, means.to_dict(orient="records"), strict=True)
        )
    ]


def downloads(run: ScoredRun, remarks: Sequence[str]) -> Mapping[str, bytes]:
    """The table of means as files: CSV with every metric and all digits, LaTeX as ``piebench table`` has it.

    Args:
        run: what the report is of.
        remarks: what a reader must know of the scores; comments in LaTeX.
    """
    files = {}
    for name, text_format in ((paths.TABLE_CSV, "csv"), (paths.TABLE_LATEX, "latex")):
        view = means_view(run.source, run.source.metrics(every=text_format == "csv"))
        table = run.source.labelled(view.table)
        files[name] = to_text(table, text_format, remarks, view.marks, view.sections).encode()
    return files


def number_text(number: float) -> str:
    """A number as the page shows it; empty for nan."""
    return "" if math.isnan(number) else f"{number:.{_DECIMALS}f}"


def _mean(row: Mapping[Any, Any], metric: TableMetric, mark: str) -> Cell:
    mean, low, high, n = (row[f"{metric.key}{part}"] for part in ("", "_low", "_high", "_n"))
    title = "1 value" if n == 1 else f"{n} values"
    if not math.isnan(low):
        title = f"95% interval {number_text(low)} to {number_text(high)}, {title}"
    return Cell(number_text(mean), _exact(mean), title, mark)


def _costs(run: ScoredRun, combination: Combination) -> list[Cell]:
    if not run.costs:
        return []
    cost = run.costs.get(combination.name)
    if cost is None:
        return [Cell("", ""), Cell("", "")]
    return [
        Cell(number_text(cost.seconds), _exact(cost.seconds)),
        Cell(f"{cost.evaluations:.0f}", _exact(cost.evaluations)),
    ]


def _exact(number: float) -> str:
    return "" if math.isnan(number) else repr(float(number))
