"""Automatic batch size: grown while memory allows, separately for every combination."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO_BATCH = 8
"""Largest batch that ``--batch-size auto`` tries on a GPU: 24 to 32 UNet rows keep any of them busy."""

_FULL = 0.9
"""A larger batch is tried if it is expected to need at most this share of the available memory."""


@dataclass
class BatchSizer:
    """Batch sizes of one worker.

    Attributes:
        largest: samples per batch at most.
        grows: begin with one sample and double while memory allows; otherwise begin with the largest.
        of_combinations: the same as ``largest`` of single combinations, if fewer.
    """

    largest: int
    grows: bool
    of_combinations: Mapping[str, int] = field(default_factory=dict)
    _sizes: dict[str, int] = field(default_factory=dict)
    _limits: dict[str, int] = field(default_factory=dict)

    def size(self, combination: str) -> int:
        """Samples of the combination's next batch."""
        return self._sizes.get(combination, 1 if self.grows else self._limit(combination))

    def fitted(
        self, combination: str, size: int, weights_bytes: int, peak: int, capacity: int | None
    ) -> None:
        """Note that a batch has fitted; the next is twice as large if that is expected to fit.

        Args:
            combination: name of the combination.
            size: samples of the batch.
            weights_bytes: bytes in use before it, by the weights.
            peak: bytes in use at its peak.
            capacity: bytes of the device's memory that this process can have; None if unknown.
        """
        if not self.grows or capacity is None or size < self.size(combination):
            return
        if weights_bytes + 2 * (peak - weights_bytes) <= _FULL * capacity:
            self._sizes[combination] = min(2 * size, self._limit(combination))

    def overflowed(self, combination: str, size: int) -> None:
        """Note that a batch has not fitted; from now on batches are at most half as large."""
        self._limits[combination] = self._sizes[combination] = max(1, size // 2)

    def _limit(self, combination: str) -> int:
        """The largest size that a batch of the combination may have."""
        planned = min(self.largest, self.of_combinations.get(combination, self.largest))
        return min(planned, self._limits.get(combination, planned))
