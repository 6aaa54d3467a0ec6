"""Average the scores of a combination by the protocol's rules, with standard errors and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.tables.statistics.bootstrap import interval_of_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric


@dataclass(frozen=True)
class Average:
    """A mean in a table's unit.

    Attributes:
        mean: the mean; inf if every scored image is identical to its source (PSNR), nan without scores.
        sem: standard error of the mean; nan for a pooled PSNR and with fewer than two values, of an editing
            type where the mean is over types.
        low: lower end of the mean's 95% bootstrap interval; nan with fewer than two values.
        high: upper end.
        n: values in the mean.
        nan: values left out because they are nan.
        inf: values left out because they are infinite.
    """

    mean: float
    sem: float
    low: float
    high: float
    n: int
    nan: int
    inf: int


def averages(scores: pd.DataFrame, metrics: Sequence[TableMetric], rules: AverageRules) -> list[Average]:
    """Average the scores of one combination.

    Args:
        scores: a row per picture.
        metrics: columns to average.
        rules: how nan, inf and PSNRs are treated. A pooled PSNR is that of the mean MSE, and its interval
            that of the mean MSE, converted to dB. A mean over editing types needs the column ``type``.

    Returns:
        An average per metric, in their order.
    """
    values = scores[[metric.column for metric in metrics]].to_numpy(dtype=float)
    counted = np.column_stack(
        [_counted(values[:, index], metric, rules) for index, metric in enumerate(metrics)]
    )
    types = scores["type"].to_numpy() if rules.over == "types" else None
    finite = np.where(np.isinf(counted), np.nan, counted)
    intervals = zip(*interval_of_means(finite, types), strict=True)
    return [
        _average(values[:, index], counted[:, index], interval, metric, rules, types)
        for index, (metric, interval) in enumerate(zip(metrics, intervals, strict=True))
    ]


def mean_of(
    values: NDArray[np.float64], metric: TableMetric, rules: AverageRules, types: NDArray[Any] | None = None
) -> float:
    """The mean of one metric, in the table's unit, without an interval.

    Args:
        values: a score per picture.
        metric: the metric.
        rules: see ``averages``.
        types: the editing type of each picture, for a mean over the types' means; None for one over pictures.
    """
    return _mean(values, _counted(values, metric, rules), metric, rules, types)


def _counted(values: NDArray[np.float64], metric: TableMetric, rules: AverageRules) -> NDArray[np.float64]:
    """A metric's values as they enter the mean (PSNRs as MSEs if pooled); nan for those left out."""
    rule = rules.inf if _is_psnr(metric) else "skipped"
    instead = {"skipped": np.nan, "kept": np.inf, "100": 100.0}[rule]
    counted = np.where(np.isinf(values), instead, values)
    if rules.nan == "zero":
        counted = np.where(np.isnan(values), 0.0, counted)
    return 10 ** (-counted / 10) if _is_pooled(metric, rules) else counted  # MSE of pictures in 0..1


def _mean(
    values: NDArray[np.float64],
    counted: NDArray[np.float64],
    metric: TableMetric,
    rules: AverageRules,
    types: NDArray[Any] | None,
) -> float:
    groups = _groups(counted, types)
    if not groups:
        return np.inf if np.isinf(values).any() else np.nan
    mean = float(np.mean([group.mean() for group in groups]))
    return (_psnr(mean) if _is_pooled(metric, rules) else mean) * metric.scale


def _average(
    values: NDArray[np.float64],
    counted: NDArray[np.float64],
    interval: tuple[float, float],
    metric: TableMetric,
    rules: AverageRules,
    types: NDArray[Any] | None,
) -> Average:
    there = counted[~np.isnan(counted)]
    nan = int((np.isnan(values) & np.isnan(counted)).sum())
    inf = int((np.isinf(values) & np.isnan(counted)).sum())
    mean, sem, (low, high) = _mean(values, counted, metric, rules, types), np.nan, interval
    if np.isinf(mean) or not len(there):
        low = high = np.nan
    elif _is_pooled(metric, rules):
        low, high = _psnr(high), _psnr(low)
    elif len(there) > 1:
        sem = _standard_error(_groups(counted, types))
    sem, low, high = (float(number) * metric.scale for number in (sem, low, high))
    return Average(mean, sem, low, high, len(there), nan, inf)


def _groups(counted: NDArray[np.float64], types: NDArray[Any] | None) -> list[NDArray[np.float64]]:
    """The values in a mean: those of each editing type, or all in one group; none without values."""
    there = ~np.isnan(counted)
    if types is None:
        return [counted[there]] if there.any() else []
    return [counted[there & (types == each)] for each in np.unique(types[there])]


def _standard_error(groups: Sequence[NDArray[np.float64]]) -> float:
    """Of the mean of the groups' means; nan where a group has one value only."""
    if min(map(len, groups)) < 2:
        return np.nan
    errors = [group.std(ddof=1) / np.sqrt(len(group)) for group in groups]
    return float(np.hypot.reduce(errors) / len(groups))


def _is_psnr(metric: TableMetric) -> bool:
    return metric.column.startswith("psnr")


def _is_pooled(metric: TableMetric, rules: AverageRules) -> bool:
    return rules.psnr == "pooled" and _is_psnr(metric)


def _psnr(mse: float) -> float:
    """PSNR of pictures in 0..1, in dB."""
    return float(-10 * np.log10(mse)) if mse != 0 else np.inf
