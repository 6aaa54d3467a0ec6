"""The table of means beside the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.report.means import number_text
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.compare import compare_with_paper
from piebench_eval.tables.paper.tolerances import tolerance_line
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.report.content import ReportContent


@dataclass(frozen=True)
class PaperCell:
    """A mean beside its published value.

    Attributes:
        measured: the mean.
        paper: the published one, of Table 1 or of the method's own authors.
        difference: measured - paper, with its sign; empty if not comparable.
        verdict: ``agrees`` or ``differs``; empty if none.
    """

    measured: str
    paper: str
    difference: str
    verdict: str


@dataclass(frozen=True)
class PaperTable:
    """The report's combinations that are in Table 1, or whose authors' own numbers are known.

    Attributes:
        headings: metrics.
        rows: a combination's name, and a cell per metric.
        remarks: why some have no verdict, and what a verdict means.
    """

    headings: Sequence[Sequence[str]]
    rows: Sequence[tuple[str, Sequence[PaperCell]]]
    remarks: Sequence[str]


def paper_table(content: ReportContent) -> PaperTable | None:
    """Put a report's means beside the published ones.

    Args:
        content: the report's content.

    Returns:
        None if no number is comparable: drawn images, other networks, other combinations.
    """
    metrics = [metric for metric in TABLE_METRICS if metric.key in content.score_table.means.columns]
    if not metrics:
        return None
    comparison = compare_with_paper(
        content.score_table.means, content.score_table.provenance, content.score_table.rules
    )
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
    return PaperTable([metric.title.split("\n") for metric in metrics], rows, remarks)
