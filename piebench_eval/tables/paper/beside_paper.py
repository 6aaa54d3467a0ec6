"""The table of means with the paper's rows, in Table 1's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.tables.formats.marks import Mark
from piebench_eval.tables.layout import TABLE_METRICS, row_order
from piebench_eval.tables.paper.agreement import agreement_line
from piebench_eval.tables.paper.compare import PAPER_IMAGES, compare_with_paper
from piebench_eval.tables.paper.published import PAPERS, load_published, published_run
from piebench_eval.tables.scores import RUN, combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.tables.formats.marks import Marks
    from piebench_eval.tables.paper.compare import PaperComparison
    from piebench_eval.tables.score_table import ScoreTable

_PAIR = ["method", "inversion"]


def with_paper_rows(score_table: ScoreTable) -> tuple[pd.DataFrame, list[str], Marks]:
    """Insert the paper's rows into the table of means.

    Args:
        score_table: the scores.

    Returns:
        A row per combination, per row of Table 1, and per published row beyond it that fits a combination,
        sorted as Table 1 is: method, inversion, run, images (missing where it is not printed), and the means
        of Table 1's metrics; remarks on missing verdicts and on how many metrics agree; and marks of the
        means that agree or differ.

    Raises:
        PiebenchError: the scores hold no metric of Table 1.
    """
    comparison = compare_with_paper(score_table.means, score_table.provenance, score_table.rules)
    metrics = [metric.key for metric in TABLE_METRICS if metric.key in score_table.means.columns]
    rows = [*_measured(score_table.means, metrics), *_published(metrics), *_further(comparison, metrics)]
    rows.sort(key=lambda row: (*row_order(row)[:3], row[RUN] != PAPERS, row[RUN]))
    table = pd.DataFrame(rows)[[*_PAIR, RUN, "images", *metrics]].astype({"images": "Int64"})
    verdicts = _verdicts(comparison)
    marks = {
        (position, metric): verdict
        for position, row in enumerate(rows)
        for metric in metrics
        if (verdict := verdicts.get((*_key(row), metric))) is not None
    }
    lines = [*comparison.obstacles, *_counts(comparison), *comparison.remarks, *_agreement(score_table.means)]
    return table, list(dict.fromkeys(lines)), marks


def _measured(means: pd.DataFrame, metrics: Sequence[str]) -> list[dict[str, object]]:
    """The measured rows; a folder's has its name as the method and no inversion."""
    rows = [{str(column): value for column, value in row.items()} for row in means.to_dict(orient="records")]
    return [
        {
            "method": row.get("method", row.get("name")),
            "inversion": row.get("inversion", ""),
            RUN: row.get(RUN, ""),
            **{column: row[column] for column in ("images", *metrics)},
        }
        for row in rows
    ]


def _published(metrics: Sequence[str]) -> list[dict[str, object]]:
    table = load_published().pivot(index=_PAIR, columns="metric", values="paper")[list(metrics)]
    rows = table.dropna(how="all").reset_index().to_dict(orient="records")
    return [
        {**{str(key): value for key, value in row.items()}, RUN: PAPERS, "images": PAPER_IMAGES}
        for row in rows
    ]


def _further(comparison: PaperComparison, metrics: Sequence[str]) -> list[dict[str, object]]:
    """The published rows beyond Table 1, once each; with the model's name if a combination ran on several."""
    rows = [row for found in comparison.further.values() for row in found.counted]
    rows = [row for number, row in enumerate(rows) if row not in rows[:number]]
    models = {(row.method, row.inversion, row.model) for row in rows}
    pairs = [pair for *pair, _ in models]
    return [
        {
            "method": row.method,
            "inversion": row.inversion,
            RUN: published_run(
                None if row.is_authors else row.printed_in,
                row.model if pairs.count([row.method, row.inversion]) > 1 else None,
            ),
            "images": row.images,
            **{metric: row.numbers.get(metric, float("nan")) for metric in metrics},
        }
        for row in rows
    ]


def _key(row: dict[str, object]) -> tuple[str, str, str]:
    return str(row["method"]), str(row["inversion"]), str(row[RUN])


def _verdicts(comparison: PaperComparison) -> dict[tuple[str, str, str, str], Mark]:
    return {
        (str(row["method"]), str(row["inversion"]), str(row.get(RUN, "")), str(row["metric"])): Mark(
            row["verdict"]
        )
        for row in comparison.table.to_dict(orient="records")
        if row["verdict"]
    }


def _counts(comparison: PaperComparison) -> list[str]:
    judged = comparison.table[comparison.table["verdict"] != ""]
    labels = label_columns(judged)
    return [
        f"{combination_name(rows.iloc[0], labels)}: {(rows['verdict'] == Mark.AGREES).sum()} of {len(rows)} "
        "metrics agree with the paper's"
        for _, rows in judged.groupby(labels, sort=False)
    ]


def _agreement(means: pd.DataFrame) -> list[str]:
    """Rank agreement of each run with the paper."""
    if RUN not in means.columns:
        line = agreement_line(means)
        return [line] if line else []
    lines = {str(run): agreement_line(rows) for run, rows in means.groupby(RUN, sort=False)}
    return [f"{run}: {line}" if run else line for run, line in lines.items() if line]
