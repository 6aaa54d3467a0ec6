"""How sure a mean difference of pairs is, few pairs included, and what several metrics ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.statistics.bootstrap import CONFIDENCE, interval_of_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS_FOR_BOOTSTRAP = 100
"""From so many pairs on, the interval is bootstrapped; below, it is Student's."""

PAIRS_FOR_BETTER = 20
"""With fewer pairs, none of two combinations is called better."""


def interval_of_differences(
    differences: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The 95% interval of each column's mean difference.

    The percentile bootstrap is too narrow with few pairs: without any difference, it leaves out 0 in half of
    all cases with two pairs, and in one of ten with ten. Below ``PAIRS_FOR_BOOTSTRAP`` pairs the interval is
    that of Student's t, which holds its level with any number of pairs as long as the differences are about
    normal.

    Args:
        differences: ``[n, k]``, a row per pair; nan where there is no difference.

    Returns:
        Lower and upper ends, ``[k]`` each; nan for a column with fewer than two differences.
    """
    from scipy.special import stdtrit  # scipy takes a moment to import, which no other table should wait

    n, mean, standard_error = _moments(differences)
    reach = stdtrit(np.maximum(n - 1, 1), (1 + CONFIDENCE) / 2) * standard_error
    low, high = mean - reach, mean + reach
    many = n >= PAIRS_FOR_BOOTSTRAP
    if many.any():
        low[many], high[many] = interval_of_means(differences[:, many])
    return low, high


def p_of_differences(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two-sided p of the paired t-test, column by column.

    Args:
        differences: as ``interval_of_differences`` takes them.

    Returns:
        ``[k]``; nan for a column with fewer than two differences, 1 where every difference is 0.
    """
    from scipy.special import stdtr

    n, mean, standard_error = _moments(differences)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0, np.abs(mean) / standard_error)
    return np.where(n > 1, 2 * stdtr(np.maximum(n - 1, 1), -t), np.nan)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p for how many are looked at (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Where nothing differs, the chance that any of them falls below 0.05 is at most 0.05 then.

    Args:
        p: ``[k]``; nan stands for a test that was not made, and counts for nothing.

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
    """Number, mean and the mean's standard error, column by column; nan with fewer than two differences."""
    there = ~np.isnan(differences)
    n = there.sum(axis=0)
    enough = n > 1
    mean, standard_error = np.full((2, differences.shape[1]), np.nan)
    columns = differences[:, enough]
    mean[enough] = np.nanmean(columns, axis=0)
    standard_error[enough] = np.nanstd(columns, axis=0, ddof=1) / np.sqrt(n[enough])
    return n, mean, standard_error
