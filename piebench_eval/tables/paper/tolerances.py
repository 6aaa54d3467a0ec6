"""Tolerances for agreement with the paper: the differences of a published reproduction.

The study whose rows have the source ``REPRODUCTION`` ran the paper's methods again on its 700 pictures, and
printed its means beside the paper's. The largest difference of a metric is how far off a faithful
reproduction has been seen: by other libraries and machines, by rounding, and in Plug-and-Play's rows by
Stable Diffusion v1.4 in the place of v1.5.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from piebench_eval.tables.formats.cells import DECIMALS
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.published import load_published

if TYPE_CHECKING:
    import pandas as pd

NOISY_INVERSIONS = ("edit_friendly",)
"""Inversions that draw noise, whose means depend on the random generator."""

DETERMINISTIC = "deterministic inversions"


@cache
def reproduction_tolerance(metric: str, inversion: str) -> float:
    """The largest difference from the paper's mean that counts as agreement.

    The largest difference between paper and study over the rows of deterministic inversions, in the paper's
    own digits. For an inversion that draws noise, the difference in its own rows where that is larger.

    Args:
        metric: key of a metric of Table 1.
        inversion: name of the inversion.

    Returns:
        The tolerance, in the metric's printed unit.

    >>> reproduction_tolerance("psnr", "direct"), reproduction_tolerance("psnr", "edit_friendly")
    (0.03, 0.23)
    """
    rows = _both_published()
    rows = rows[rows["metric"] == metric]
    counts = ~rows["inversion"].isin(NOISY_INVERSIONS) | (rows["inversion"] == inversion)
    return float(rows.loc[counts, "difference"].max())


def agrees(difference: float, tolerance: float) -> bool:
    """Whether a difference, rounded as printed, is within a tolerance.

    >>> agrees(27.2551 - 27.22, 0.03), agrees(27.2549 - 27.22, 0.03)
    (False, True)
    """
    return round(abs(difference), DECIMALS) <= tolerance


def tolerance_line() -> str:
    """All tolerances in one line."""
    kinds = {DETERMINISTIC: "", **{name: name for name in NOISY_INVERSIONS}}
    parts = []
    for kind, inversion in kinds.items():
        values = ", ".join(
            f"{metric.key} {reproduction_tolerance(metric.key, inversion):g}" for metric in TABLE_METRICS
        )
        parts.append(f"{kind}: {values}")
    return (
        "agrees: within the largest difference between the paper and the published reproduction of it; "
        + "; ".join(parts)
    )


@cache
def _both_published() -> pd.DataFrame:
    """Rows with numbers of both paper and reproduction, with the difference in the paper's digits."""
    published = load_published().dropna(subset=["paper", "report"])
    difference = (published["paper"] - published["report"]).abs().round(DECIMALS)
    return published.assign(difference=difference)
