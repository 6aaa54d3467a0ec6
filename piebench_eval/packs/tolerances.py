"""How far a score may be from the one that was given, if the same networks computed both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tolerance:
    """How far scores may differ, in the units of printed tables, whose last digit is 0.01.

    Attributes:
        title: what makes scores differ so far.
        absolute: the largest difference.
        relative: what a large score may differ besides, as a share of it.
    """

    title: str
    absolute: float
    relative: float = 0.0

    def holds(self, given: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which scores are within it; nan and infinity must be the same."""
        with np.errstate(invalid="ignore"):
            close = np.abs(given - found) <= self.absolute + self.relative * np.abs(given)
        same = (given == found) | (np.isnan(given) & np.isnan(found))
        return same | (close & np.isfinite(given) & np.isfinite(found))


TOLERANCES = (
    Tolerance("the same numbers", 0.0),
    Tolerance("other numbers of threads or batch sizes", 0.001),
    Tolerance("another device or other versions of libraries", 0.05, 0.001),
)
"""From the narrowest to the widest; what leaves the widest is another score."""

WITHOUT_NETWORKS = Tolerance("another device or other versions of libraries", 0.001, 0.00001)
"""In the place of the widest for metrics of pixels alone (PSNR, MSE, SSIM), which vary less: a changed pixel
shows in them first."""
