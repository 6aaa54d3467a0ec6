"""Table 1's metrics as a reader of numbers knows them: units, limits, usual values."""

from __future__ import annotations

from dataclasses import dataclass

from piebench_eval.published.row import METRIC_KEYS


@dataclass(frozen=True)
class Quantity:
    """What can be said of a metric's means before any is seen.

    Attributes:
        title: its name in a sentence.
        power: Table 1's unit, as the power of ten that scores are multiplied by.
        lowest: the least score that is possible, in Table 1's unit.
        highest: the greatest.
        usual: between these lie the means of editors that edit, in Table 1's unit, with room on both sides.
        spread: by how much the means of two methods differ, typically; in Table 1's unit. It and ``usual``
            are read off the published rows.
    """

    title: str
    power: int
    lowest: float
    highest: float
    usual: tuple[float, float]
    spread: float


QUANTITIES: dict[str, Quantity] = dict(
    zip(
        METRIC_KEYS,
        (
            # Cosines lie in -1..1, so their squared differences in 0..4.
            Quantity("structure distance", 3, 0, 4000, (1, 300), 20),
            Quantity("PSNR", 0, 0, float("inf"), (5, 60), 5),
            Quantity("LPIPS", 3, 0, float("inf"), (3, 600), 60),
            Quantity("MSE", 4, 0, 10_000, (1, 1500), 50),
            Quantity("SSIM", 2, -100, 100, (30, 100), 6),
            Quantity("CLIP whole", 0, 0, 100, (10, 40), 1.5),
            Quantity("CLIP edited", 0, 0, 100, (10, 40), 1.5),
        ),
        strict=True,
    )
)
"""By Table 1's keys. CLIP similarity is 100 times a cosine that is cut off at 0, as torchmetrics has it."""


def unit_text(key: str, power: int) -> str:
    """A unit in words.

    >>> unit_text("lpips", 3), unit_text("ssim", 2), unit_text("mse", 0), unit_text("clip_whole", -2)
    ('×10³', 'per cent', 'no factor', '×10⁻²')
    """
    if power == 0:
        return "no factor"
    if power == 2 and key == "ssim":
        return "per cent"
    return f"×10{str(power).translate(_SUPERSCRIPTS)}"


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
