"""Paired comparison of combinations: mean differences on the same images, intervals and p-values."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.tables.layout import metrics_in, row_order
from piebench_eval.tables.scores import combination_name, label_columns
from piebench_eval.tables.statistics.paired import (
    PAIRS_FOR_BETTER,
    PAIRS_FOR_BOOTSTRAP,
    holm,
    interval_of_differences,
    p_of_differences,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from piebench_eval.tables.layout import TableMetric

_LEVEL = 0.05


def compare_pair(scores: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Compare two combinations image by image (paired t, or paired bootstrap with many pairs).

    Images that only one of them has are left out, and so are values that are nan or inf in either. The
    differences are those of single images, for PSNR too; the protocol's averaging rules do not apply.

    Args:
        scores: from ``read_scores``.
        one: name of a combination, such as ``direct+p2p``.
        other: name of the combination to compare with.

    Returns:
        A row per metric of the scores: metric, pairs, skipped (pairs left out for nan or inf), difference
        (one - other, in the units of tables), low and high (ends of the 95% interval; nan with fewer than two
        pairs), p (of the paired t-test, for this metric alone).

    Raises:
        PiebenchError: a combination is not in the scores, or has two rows for an image; or they share none.
    """
    combinations = _by_name(scores)
    first, second = (_of_combination(combinations, name) for name in (one, other))
    _require_shared(one, first, other, second)
    return _differences(first, second, metrics_in(scores.columns))


def compare_all_with(
    scores: pd.DataFrame, name: str, metrics: Sequence[TableMetric] | None = None
) -> pd.DataFrame:
    """Compare every other combination with one.

    Args:
        scores: from ``read_scores``.
        name: name of the combination to compare with.
        metrics: those to compare by; all of the scores' if None.

    Returns:
        A row per combination and metric: combination, the columns of ``compare_pair`` (combination - name),
        p_holm (p, adjusted for the number of metrics), and better: the name of the better one if there are at
        least ``PAIRS_FOR_BETTER`` pairs, the interval excludes 0, and p_holm is below 0.05; else empty.

    Raises:
        PiebenchError: it is not in the scores, or alone there, or shares no image with another; or a
            combination has two rows for an image.
    """
    combinations = _by_name(scores)
    base = _of_combination(combinations, name)
    metrics = metrics_in(scores.columns) if metrics is None else metrics
    tables = []
    for other in combinations:
        if other != name:
            rows = _of_combination(combinations, other)
            _require_shared(other, rows, name, base)
            tables.append(_judged(_differences(rows, base, metrics), other, name, metrics))
    if not tables:
        raise PiebenchError(f"{name}: the scores hold no other combination to compare it with")
    return pd.concat(tables, ignore_index=True)


def compare_all_pairs(
    scores: pd.DataFrame, metrics: Sequence[TableMetric]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Compare every combination with every other one that it shares an image with.

    Args:
        scores: from ``read_scores``.
        metrics: those to compare by.

    Returns:
        The rows of ``compare_all_with`` of the first combination against the second, by the names of both.

    Raises:
        PiebenchError: a combination has two rows for an image.
    """
    combinations = _by_name(scores)
    rows_of = {name: _of_combination(combinations, name) for name in combinations}
    found = {}
    for one, other in itertools.combinations(rows_of, 2):
        if not rows_of[one].index.intersection(rows_of[other].index).empty:
            table = _differences(rows_of[one], rows_of[other], metrics)
            back = table.assign(difference=-table["difference"], low=-table["high"], high=-table["low"])
            found[one, other] = _judged(table, one, other, metrics)
            found[other, one] = _judged(back, other, one, metrics)
    return found


def comparison_remarks(table: pd.DataFrame) -> list[str]:
    """Remarks on a comparison: the meaning of its columns, and combinations with too few pairs.

    Args:
        table: from ``compare_all_with``.
    """
    lines = comparison_rules(table["metric"].nunique())
    if few := list(dict.fromkeys(table.loc[table["pairs"] < PAIRS_FOR_BETTER, "combination"])):
        lines.append(f"{', '.join(few)}: fewer than {PAIRS_FOR_BETTER} pairs, too few to call one better")
    return lines


def comparison_rules(metrics: int) -> list[str]:
    """The meaning of a comparison's columns, given the number of metrics."""
    return [
        "low, high: 95% interval of one metric's mean difference, by Student's t below "
        f"{PAIRS_FOR_BOOTSTRAP} pairs, else bootstrapped over pictures",
        f"better: where there are at least {PAIRS_FOR_BETTER} pairs, the interval leaves out 0, and p_holm, "
        f"the p of the paired t-test adjusted for the {metrics} metrics shown (Holm), is below {_LEVEL}; of "
        "many combinations one may still be called better by chance",
    ]


def _by_name(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each combination, in the order of Table 1."""
    labels = label_columns(scores)
    groups = [
        (dict(zip(labels, names, strict=True)), rows) for names, rows in scores.groupby(labels, sort=False)
    ]
    groups.sort(key=lambda group: row_order(group[0]))
    return {combination_name(row, labels): rows for row, rows in groups}


def _of_combination(combinations: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame:
    if name not in combinations:
        if of_runs := [known for known in combinations if known.endswith(f"/{name}")]:
            raise PiebenchError(f"{name}: say of which run: {' or '.join(of_runs)}")
        known = ", ".join(combinations)
        raise PiebenchError(f"{name}: the scores hold no such combination; there are: {known}")
    rows = combinations[name].set_index("id")
    if rows.index.has_duplicates:
        twice = rows.index[rows.index.duplicated()][0]
        raise PiebenchError(f"{name}: the scores hold id {twice} more than once; keep one row per picture")
    return rows


def _judged(table: pd.DataFrame, one: str, other: str, metrics: Sequence[TableMetric]) -> pd.DataFrame:
    """Add the combination, the corrected p and the better of the two to the differences one - other."""
    table = table.assign(p_holm=holm(table["p"].to_numpy()))
    table.insert(0, "combination", one)
    lines = zip(metrics, table.to_dict(orient="records"), strict=True)
    return table.assign(better=[_better(one, other, *line) for line in lines])


def _require_shared(one: str, first: pd.DataFrame, other: str, second: pd.DataFrame) -> None:
    if first.index.intersection(second.index).empty:
        raise PiebenchError(
            f"{one} and {other} have no sample in common (the first ids are {first.index[0]} and "
            f"{second.index[0]}); score edits of the same benchmark, with its ids"
        )


def _differences(one: pd.DataFrame, other: pd.DataFrame, metrics: Sequence[TableMetric]) -> pd.DataFrame:
    shared = one.index.intersection(other.index)
    columns = [metric.column for metric in metrics]
    first, second = (rows.loc[shared, columns].to_numpy(dtype=float) for rows in (one, other))
    usable = np.isfinite(first) & np.isfinite(second)
    scales = np.array([metric.scale for metric in metrics])
    differences = np.full(first.shape, np.nan)
    np.subtract(first, second, out=differences, where=usable)
    low, high = interval_of_differences(differences * scales)
    pairs = usable.sum(axis=0)
    sums = np.nansum(differences * scales, axis=0)
    return pd.DataFrame(
        {
            "metric": [metric.key for metric in metrics],
            "pairs": pairs,
            "skipped": len(shared) - pairs,
            "difference": np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan),
            "low": low,
            "high": high,
            "p": p_of_differences(differences),
        }
    )


def _better(one: str, other: str, metric: TableMetric, row: Mapping[Any, Any]) -> str:
    """Name of the better combination by a metric; empty if the difference is not significant."""
    significant = row["p_holm"] < _LEVEL and not row["low"] <= 0 <= row["high"]
    if not significant or row["pairs"] < PAIRS_FOR_BETTER:
        return ""
    return one if (row["low"] > 0) == (metric.better == "higher") else other
