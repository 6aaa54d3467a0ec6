"""How sure a mean is: the percentile bootstrap, for many columns at once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 9999
CONFIDENCE = 0.95


def interval_of_means(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95% percentile interval of each column's mean (Efron & Tibshirani, 1993, chapter 13).

    Rows are drawn, with replacement, and the same ones in all columns; a resample's mean is that of the
    values which are there. All resamples are one matrix product, and they are the same every time: of 700
    pictures and eight metrics, 30 times as fast as ``scipy.stats.bootstrap``, against which it is tested.

    Args:
        values: ``[n, k]``, a row per picture; nan where a picture has no value.

    Returns:
        Lower and upper ends, ``[k]`` each; nan for a column with fewer than two values.
    """
    low, high = np.full((2, values.shape[1]), np.nan)
    usable = (~np.isnan(values)).sum(axis=0) > 1
    if not usable.any():
        return low, high
    columns = values[:, usable]
    # float32 is enough for what is left once the mean is gone, and a constant column stays exact.
    centre = np.nanmean(columns, axis=0)
    there = ~np.isnan(columns)
    filled = np.where(there, columns - centre, 0)
    counts = _resample_counts(len(values))
    # A resample of a column with few values may hold none of them: 0 / 0, which the quantiles skip.
    with np.errstate(invalid="ignore"):
        means = (counts @ filled.astype(np.float32)) / (counts @ there.astype(np.float32))
    tail = (1 - CONFIDENCE) / 2
    low[usable], high[usable] = np.nanquantile(means.astype(float), (tail, 1 - tail), axis=0) + centre
    return low, high


@lru_cache(maxsize=16)
def _resample_counts(n: int) -> NDArray[np.float32]:
    """How often each resample holds each of n rows, ``[RESAMPLES, n]``; 28 MB for 700 rows."""
    generator = np.random.default_rng(0)
    counts = np.empty((RESAMPLES, n), dtype=np.float32)
    for resample in counts:
        resample[:] = np.bincount(generator.integers(0, n, n), minlength=n)
    return counts
