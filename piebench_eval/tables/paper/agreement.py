"""Whether a run ranks combinations as the paper does, whatever its numbers are.

Source: Kendall's tau-b (M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30, 1938; with ties:
"The Treatment of Ties in Ranking Problems", Biometrika 33, 1945).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.tables.layout import METRICS
from piebench_eval.tables.paper.published import load_published

if TYPE_CHECKING:
    import pandas as pd

MIN_COMBINATIONS = 3
"""Two have one of two orders, which is as good as a coin."""

_NAMES = ("structure", "PSNR", "LPIPS", "MSE", "SSIM", "CLIP whole", "CLIP edited")
"""What the line calls Table 1's metrics, in their order."""


@dataclass(frozen=True)
class RankAgreement:
    """How alike a run and the paper rank combinations by a metric.

    Attributes:
        metric: key of the metric.
        tau: Kendall's tau-b; 1 for the same order, -1 for the reverse.
        combinations: how many were ranked.
    """

    metric: str
    tau: float
    combinations: int


def rank_agreement(means: pd.DataFrame) -> list[RankAgreement]:
    """Compare the order of a run's combinations with the paper's, metric by metric.

    Ranked are the combinations whose mean is finite and which the paper has. Numbers of any model can be
    ranked, since only their order counts.

    Args:
        means: from ``aggregate``.

    Returns:
        Of each metric of Table 1 that ranks at least three combinations, and not all of them alike.
    """
    labels = ["inversion", "method"]
    if not set(labels) <= set(means.columns):
        return []
    measured = means.set_index(labels)
    paper = load_published().pivot(index=labels, columns="metric", values="paper").reindex(measured.index)
    found = []
    for key in (metric.key for metric in METRICS if metric.key in measured.columns):
        pairs = np.column_stack([measured[key], paper[key]]).astype(float)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if len(pairs) >= MIN_COMBINATIONS and (np.ptp(pairs, axis=0) > 0).all():
            found.append(RankAgreement(key, _tau(*pairs.T), len(pairs)))
    return found


def agreement_line(means: pd.DataFrame) -> str | None:
    """The same in a line for readers; None where nothing can be ranked."""
    found = rank_agreement(means)
    if not found:
        return None
    names = {metric.key: name for metric, name in zip(METRICS, _NAMES, strict=True)}
    counts = sorted({agreement.combinations for agreement in found})
    number = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    taus = ", ".join(f"{names[agreement.metric]} {agreement.tau:.2f}" for agreement in found)
    return f"Rank agreement with the paper (Kendall's tau, {number} combinations): {taus}"


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import kendalltau  # a third of a second to import, which no other table should wait

    return float(kendalltau(one, other).statistic)
