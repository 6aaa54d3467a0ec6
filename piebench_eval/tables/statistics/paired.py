"""Confidence intervals and p-values of paired differences, and Holm's correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.statistics.bootstrap import CONFIDENCE, interval_of_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS_FOR_BOOTSTRAP = 100
"""With at least this many pairs the interval is bootstrapped; with fewer it is Student's."""

PAIRS_FOR_BETTER = 20
"""With fewer pairs, neither combination is called better."""


def interval_of_differences(
    differences: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95% interval of each column's mean difference.

    The percentile bootstrap is too narrow with few pairs: if there is no difference, it excludes 0 in half of
    all cases with two pairs, and in one of ten with ten. Below ``PAIRS_FOR_BOOTSTRAP`` pairs the interval is
    that of Student's t, which keeps its level with any number of pairs if the differences are roughly normal.

    Args:
        differences: ``[n, k]``, a row per pair; nan for a missing pair.

    Returns:
        Lower and upper ends, ``[k]`` each; nan for a column with fewer than two differences.
    """
    from scipy.special import stdtrit  # slow to import, and only needed here

    n, mean, standard_error = _moments(differences)
    reach = stdtrit(np.maximum(n - 1, 1), (1 + CONFIDENCE) / 2) * standard_error
    low, high = mean - reach, mean + reach
    many = n >= PAIRS_FOR_BOOTSTRAP
    if many.any():
        low[many], high[many] = interval_of_means(differences[:, many])
    return low, high


def p_of_differences(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of the paired t-test, per column.

    Args:
        differences: as ``interval_of_differences`` takes them.

    Returns:
        ``[k]``; nan for a column with fewer than two differences, 1 if every difference is 0.
    """
    from scipy.special import stdtr

    n, mean, standard_error = _moments(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0, np.abs(mean) / standard_error)
    return np.where(n > 1, 2 * stdtr(np.maximum(n - 1, 1), -t), np.nan)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p-values for multiple tests (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    If nothing differs, any of them is below 0.05 with a probability of at most 0.05.

    Args:
        p: ``[k]``; nan for a missing test, which is not counted.

    Returns:
        The adjusted p, ``[k]``.

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(2).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # nan comes last
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _moments(
    differences: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Number, mean and standard error per column; nan with fewer than two differences."""
    there = ~np.isnan(differences)
    n = there.sum(axis=0)
    enough = n > 1
    mean, standard_error = np.full((2, differences.shape[1]), np.nan)
    columns = differences[:, enough]
    mean[enough] = np.nanmean(columns, axis=0)
    standard_error[enough] = np.nanstd(columns, axis=0, ddof=1) / np.sqrt(n[enough])
    return n, mean, standard_error
