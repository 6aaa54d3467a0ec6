"""What edits cost, in UNet rows: as recorded, or else as planned."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction


def computed_rows(record: Mapping[str, Any]) -> int:
    """UNet rows, forward and backward, that were computed for an edit and not for an earlier one.

    Args:
        record: the edit's.
    """
    needed = record.get("unet_rows_forward", 0) + record.get("unet_rows_backward", 0)
    return int(needed - record.get("unet_rows_reused", 0))


def rows_of(record: Mapping[str, Any]) -> int:
    """What an edit has cost: one that was found in a cache is an edit all the same."""
    return max(1, computed_rows(record))


class RowCosts:
    """The cost of an edit by each combination.

    Attributes:
        planned: rows per edit as a dry run foretells them, by the combination's name; empty if unknown.
    """

    def __init__(self, planned: Mapping[str, float] | None = None):
        self.planned = dict(planned or {})
        self._rows: Counter[str] = Counter()
        self._edits: Counter[str] = Counter()

    def take(self, combination: str, record: Mapping[str, Any]) -> int:
        """Learn from an edit that was made, and tell its cost."""
        rows = rows_of(record)
        self._rows[combination] += rows
        self._edits[combination] += 1
        return rows

    def is_known(self, combination: str) -> bool:
        """Whether a combination's cost is more than a guess."""
        return self._edits[combination] > 0 or combination in self.planned

    def of(self, combination: str) -> float:
        """Rows of an edit by a combination: the mean of its own, or as planned, or the mean of all."""
        if edits := self._edits[combination]:
            return self._rows[combination] / edits
        everyone = self._rows.total() / max(1, self._edits.total())
        return self.planned.get(combination, everyone)

    def total(self, edits: Mapping[str, int | Fraction]) -> float:
        """Rows of so many edits by each combination."""
        return sum(float(count) * self.of(combination) for combination, count in edits.items())
