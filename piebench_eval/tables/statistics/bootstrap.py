"""Percentile bootstrap intervals of means, for many columns at once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 9999
CONFIDENCE = 0.95


def interval_of_means(
    values: NDArray[np.float64], types: NDArray[Any] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95% percentile interval of each column's mean (Efron & Tibshirani, 1993, chapter 13).

    Rows are drawn with replacement, the same ones for all columns; missing values are left out of a
    resample's mean. All resamples are one matrix product, and the random draws are fixed. With 700 images and
    eight metrics this is 30 times as fast as ``scipy.stats.bootstrap``, against which it is tested.

    Args:
        values: ``[n, k]``, a row per picture; nan for a missing value.
        types: ``[n]``, the editing type of each, for means of the types' means; None for means of all rows.

    Returns:
        Lower and upper ends, ``[k]`` each; nan for a column with fewer than two values.
    """
    low, high = np.full((2, values.shape[1]), np.nan)
    usable = (~np.isnan(values)).sum(axis=0) > 1
    if not usable.any():
        return low, high
    columns = values[:, usable]
    # float32 suffices once the mean is subtracted, and a constant column stays exact.
    centre = np.nanmean(columns, axis=0)
    there = ~np.isnan(columns)
    filled = np.where(there, columns - centre, 0)
    counts = _resample_counts(len(values))
    groups = [slice(None)] if types is None else [types == each for each in np.unique(types)]
    of_groups = [_resampled_means(counts[:, rows], filled[rows], there[rows]) for rows in groups]
    means = of_groups[0] if types is None else _nan_mean(np.stack(of_groups))
    tail = (1 - CONFIDENCE) / 2
    low[usable], high[usable] = np.nanquantile(means.astype(float), (tail, 1 - tail), axis=0) + centre
    return low, high


def _resampled_means(
    counts: NDArray[np.float32], filled: NDArray[np.float64], there: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The mean of each column in each resample, ``[RESAMPLES, k]``."""
    # A resample of a column with few values can hold none of them: 0 / 0, which nanquantile ignores.
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float32] = (counts @ filled.astype(np.float32)) / (
            counts @ there.astype(np.float32)
        )
    return found


def _nan_mean(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over the first axis of what is not nan; nan where nothing is."""
    there = ~np.isnan(means)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float32] = np.where(there, means, 0).sum(axis=0) / there.sum(axis=0)
    return mean


@lru_cache(maxsize=16)
def _resample_counts(n: int) -> NDArray[np.float32]:
    """Number of times each resample holds each row, ``[RESAMPLES, n]``; 28 MB for 700 rows."""
    generator = np.random.default_rng(0)
    counts = np.empty((RESAMPLES, n), dtype=np.float32)
    for resample in counts:
        resample[:] = np.bincount(generator.integers(0, n, n), minlength=n)
    return counts
