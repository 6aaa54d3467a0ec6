"""Published numbers of Table 1, with their errata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from piebench_eval.combination_names import parts_of_name
from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.published.rows import REPRODUCTION, TABLE_1, rows_from

if TYPE_CHECKING:
    from piebench_eval.published.row import MetricKey, PublishedRow

PAPERS = "(paper)"
"""Value of the column ``run`` in the paper's rows; parentheses distinguish it from a folder's name."""

_RERUN = "run again in "


def published_run(printed_in: str | None, model: str | None = None) -> str:
    """The column ``run`` of a published row beyond Table 1.

    Args:
        printed_in: who ran the method again; None for its authors.
        model: the model, where it has to be said.

    >>> published_run("DNAEdit", "sdxl-turbo"), published_run(None), published_run(None, "sdxl-turbo")
    ('(run again in DNAEdit, sdxl-turbo)', '(paper)', '(paper, sdxl-turbo)')
    """
    parts = [f"{_RERUN}{printed_in}" if printed_in else PAPERS.strip("()"), *([model] if model else [])]
    return f"({', '.join(parts)})"


def is_published(run: str) -> bool:
    """Whether a value of the column ``run`` is a published row's.

    >>> [is_published(run) for run in (PAPERS, published_run("DNAEdit"), "paper")]
    [True, True, False]
    """
    return run.endswith(")") and run.startswith((PAPERS[:-1], f"({_RERUN}"))


def load_published() -> pd.DataFrame:
    """Load the numbers of the paper and of a published reproduction, in printed units, with errata applied.

    Returns:
        Columns inversion, method, metric, paper, report (nan where a source has no such row) and erratum
        (what was corrected, else empty).
    """
    papers = {row.combination: row for row in rows_from(TABLE_1)}
    rows = []
    for report in rows_from(REPRODUCTION):
        inversion, method = parts_of_name(report.combination)
        paper = papers.get(report.combination)
        rows += [
            {
                "inversion": inversion,
                "method": method,
                "metric": metric,
                "paper": paper.numbers[metric] if paper else np.nan,
                "report": report.numbers[metric],
                "erratum": _erratum(paper, metric) if paper else "",
            }
            for metric in METRIC_KEYS
        ]
    return pd.DataFrame(rows)


def _erratum(paper: PublishedRow, metric: MetricKey) -> str:
    """What was printed in the place of a number of the paper; empty if nothing was."""
    wrong = paper.misprints.get(metric)
    return f"{paper.numbers[metric]} for {wrong}: {paper.note}" if wrong is not None else ""
