"""The unit of a column whose heading does not say it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.rules.bound import USUAL_RATIO, least_mse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WITHOUT_FACTOR = {
    "structure_distance": (0, 0.5),
    "lpips": (0, 1.2),
    "mse": (0, 0.15),
    "ssim": (0, 1.0),
    "clip_whole": (-2, 1.0),
    "clip_edit": (-2, 1.0),
}
"""The unit of means that are printed as they are computed, and what they hardly exceed."""

_POWERS_OF_MSE = (4, 3, 0, 5)


def power_of_column(key: str, rows: Sequence[Mapping[str, float]]) -> int:
    """The unit of a column, as the power of ten that scores were multiplied by: that of most of its values.

    Args:
        key: the metric.
        rows: the printed numbers of each row, by metric.

    >>> power_of_column("mse", [{"mse": 3.3, "psnr": 27.0}, {"mse": 9.5, "psnr": 22.4}])
    3
    >>> power_of_column("lpips", [{"lpips": 0.05}]), power_of_column("lpips", [{"lpips": 54.5}])
    (0, 3)
    """
    numbers = [row[key] for row in rows if row.get(key, 0) > 0]
    pairs = [(row["mse"], row["psnr"]) for row in rows if {"mse", "psnr"} <= row.keys()]
    if key == "mse" and pairs:
        return max(_POWERS_OF_MSE, key=lambda power: _ordinary(pairs, power))
    power, most = _WITHOUT_FACTOR.get(key, (0, 0.0))
    return power if numbers and median(numbers) <= most else QUANTITIES[key].power


def _ordinary(pairs: Sequence[tuple[float, float]], power: int) -> int:
    """How many pairs of MSE and PSNR are possible and ordinary in a unit of MSE."""
    ratios = [mse * 10.0 ** (4 - power) / least_mse(psnr) for mse, psnr in pairs]
    return sum(0.99 <= ratio <= USUAL_RATIO for ratio in ratios)
