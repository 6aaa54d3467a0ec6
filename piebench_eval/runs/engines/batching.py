"""How many samples go into a batch: found out by trying, separately for every combination."""

from __future__ import annotations

from dataclasses import dataclass, field

AUTO_BATCH = 8
"""Largest batch that ``--batch-size auto`` tries on a GPU: 24 to 32 UNet rows keep any of them busy."""

_FULL = 0.9
"""Share of the memory that is to be had that a larger batch may be expected to need."""


@dataclass
class BatchSizer:
    """Batch sizes of one worker.

    Attributes:
        largest: samples per batch at most.
        grows: begin with one sample and double while memory allows; otherwise begin with the largest.
    """

    largest: int
    grows: bool
    _sizes: dict[str, int] = field(default_factory=dict)
    _limits: dict[str, int] = field(default_factory=dict)

    def size(self, combination: str) -> int:
        """Samples of the combination's next batch."""
        return self._sizes.get(combination, 1 if self.grows else self.largest)

    def fitted(self, combination: str, size: int, resting: int, peak: int, capacity: int | None) -> None:
        """A batch has fitted: the next may be twice as large, if that can be expected to fit.

        Args:
            combination: its name.
            size: samples of the batch.
            resting: bytes in use before it, the weights'.
            peak: bytes in use at its peak.
            capacity: bytes that this process may have of the device's; None if that is not known.
        """
        if not self.grows or capacity is None or size < self.size(combination):
            return
        limit = self._limits.get(combination, self.largest)
        if resting + 2 * (peak - resting) <= _FULL * capacity:
            self._sizes[combination] = min(2 * size, limit)

    def overflowed(self, combination: str, size: int) -> None:
        """A batch has not fitted: no batch will be more than half as large."""
        self._limits[combination] = self._sizes[combination] = max(1, size // 2)
