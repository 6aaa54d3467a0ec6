"""Two combinations on the same pictures: the mean of their differences, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from piebench_eval.errors import PiebenchError
from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RESAMPLES = 9999
_CONFIDENCE = 0.95


def versus(scores: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """Compare two combinations picture by picture (paired bootstrap, Efron & Tibshirani, 1993, chapter 13).

    Pictures that only one of them has, and values that are nan or inf in either, are left out.

    Args:
        scores: from ``read_scores``.
        one: name of a combination, such as ``direct+p2p``.
        other: name of the combination it is held against.

    Returns:
        A row per metric of Table 1: metric, pairs, difference (one - other, in Table 1's units), low and
        high (ends of the 95% percentile interval; nan with fewer than two pairs).

    Raises:
        PiebenchError: a combination is not in the scores.
    """
    first, second = _of_combination(scores, one), _of_combination(scores, other)
    shared = first.index.intersection(second.index)
    rows = []
    for metric in METRICS:
        values = (first.loc[shared, metric.column] - second.loc[shared, metric.column]).to_numpy(dtype=float)
        differences = values[np.isfinite(values)] * metric.scale
        low, high = _interval(differences)
        mean = differences.mean() if len(differences) else np.nan
        rows.append((metric.key, len(differences), mean, low, high))
    return pd.DataFrame(rows, columns=["metric", "pairs", "difference", "low", "high"])


def _of_combination(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    labels = label_columns(scores)
    names = scores.apply(combination_name, axis=1, labels=labels)
    if not (names == name).any():
        known = ", ".join(dict.fromkeys(names))
        raise PiebenchError(f"{name}: the scores hold no such combination; there are: {known}")
    return scores[names == name].set_index("id")


def _interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    if len(differences) < 2:
        return np.nan, np.nan
    found = bootstrap(
        (differences,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)
