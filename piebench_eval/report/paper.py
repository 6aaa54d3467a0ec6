"""The means beside the published ones, where a comparison makes sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.report.means import number_text
from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS
from piebench_eval.tables.paper.compare import compare_with_paper
from piebench_eval.tables.paper.tolerances import tolerance_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.report.run import ScoredRun


@dataclass(frozen=True)
class PaperCell:
    """A metric of a combination, measured and published.

    Attributes:
        measured: the mean.
        paper: the published one.
        difference: measured - paper, with its sign; empty where there is nothing to compare.
        verdict: ``agrees`` or ``differs``; empty where none is due.
    """

    measured: str
    paper: str
    difference: str
    verdict: str


@dataclass(frozen=True)
class BesidePaper:
    """The combinations of a report that Table 1 has.

    Attributes:
        headings: metrics.
        rows: a combination's name, and a cell per metric.
        remarks: why some are due no verdict, and what a verdict means.
    """

    headings: Sequence[Sequence[str]]
    rows: Sequence[tuple[str, Sequence[PaperCell]]]
    remarks: Sequence[str]


def beside_paper(run: ScoredRun) -> BesidePaper | None:
    """Set a report's means beside the published ones.

    Args:
        run: what the report is of.

    Returns:
        None where no number can be held against a published one: drawn pictures, other networks, other
        combinations.
    """
    metrics = [metric for metric in METRICS if metric.key in run.source.means.columns]
    if not metrics:
        return None
    comparison = compare_with_paper(run.source.means, run.source.about, run.source.rules)
    rows = []
    labels = label_columns(comparison.table)
    for _, found in comparison.table.groupby(labels, sort=False):
        if found["difference"].notna().any():
            cells = [
                PaperCell(
                    measured=number_text(row["measured"]),
                    paper=number_text(row["paper"]),
                    difference=f"{row['difference']:+.2f}" if np.isfinite(row["difference"]) else "",
                    verdict=str(row["verdict"]),
                )
                for row in found.to_dict(orient="records")
            ]
            rows.append((combination_name(found.iloc[0], labels), cells))
    if not rows:
        return None
    remarks = [*comparison.obstacles, *comparison.remarks, tolerance_line()]
    return BesidePaper([metric.title.split("\n") for metric in metrics], rows, remarks)
