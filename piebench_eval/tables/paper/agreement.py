"""Rank agreement of a run with the paper.

Source: Kendall's tau-b (M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30, 1938; with ties:
"The Treatment of Ties in Ranking Problems", Biometrika 33, 1945).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.layout import METRIC_NAMES, TABLE_METRICS
from piebench_eval.tables.paper.published import load_published

if TYPE_CHECKING:
    import pandas as pd

MIN_COMBINATIONS = 3
"""Two combinations agree by chance in half of all cases."""


@dataclass(frozen=True)
class RankAgreement:
    """Rank agreement between a run and the paper for one metric.

    Attributes:
        metric: key of the metric.
        tau: Kendall's tau-b; 1 for the same order, -1 for the reverse.
        combinations: number of ranked combinations.
    """

    metric: str
    tau: float
    combinations: int


def rank_agreement(means: pd.DataFrame) -> list[RankAgreement]:
    """Compare the order of a run's combinations with the paper's, metric by metric.

    Combinations with a finite mean that are in the paper are ranked. Only the order counts, so numbers of any
    model can be compared.

    Args:
        means: from ``aggregate``.

    Returns:
        One per metric of Table 1 with at least three ranked combinations that are not all equal.
    """
    labels = ["inversion", "method"]
    if not set(labels) <= set(means.columns):
        return []
    measured = means.set_index(labels)
    paper = load_published().pivot(index=labels, columns="metric", values="paper").reindex(measured.index)
    found = []
    for key in (metric.key for metric in TABLE_METRICS if metric.key in measured.columns):
        pairs = np.column_stack([measured[key], paper[key]]).astype(float)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if len(pairs) >= MIN_COMBINATIONS and (np.ptp(pairs, axis=0) > 0).all():
            found.append(RankAgreement(key, _tau(*pairs.T), len(pairs)))
    return found


def agreement_line(means: pd.DataFrame) -> str | None:
    """Rank agreement in one line; None if nothing can be ranked."""
    found = rank_agreement(means)
    if not found:
        return None
    counts = sorted({agreement.combinations for agreement in found})
    number = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    taus = ", ".join(f"{METRIC_NAMES[agreement.metric]} {agreement.tau:.2f}" for agreement in found)
    return f"Rank agreement with the paper (Kendall's tau, {number} combinations): {taus}"


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import kendalltau  # takes 0.3 s to import, and only needed here

    return float(kendalltau(one, other).statistic)
