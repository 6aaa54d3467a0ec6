"""Cost of edits in model evaluations: as recorded, or else as forecast."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction


def computed_evaluations(record: Mapping[str, Any]) -> int:
    """Model evaluations of an edit, forward and backward, that no earlier edit had computed.

    Args:
        record: the record of the edit; its fields ``unet_rows_*`` are model evaluations.
    """
    needed = record.get("unet_rows_forward", 0) + record.get("unet_rows_backward", 0)
    return int(needed - record.get("unet_rows_reused", 0))


def cost_of(record: Mapping[str, Any]) -> int:
    """The cost of an edit; at least 1, also if all of it was in the cache."""
    return max(1, computed_evaluations(record))


class EditCosts:
    """The cost of an edit by each combination.

    Attributes:
        planned: evaluations per edit as a dry run counts them, by combination; empty if unknown.
    """

    def __init__(self, planned: Mapping[str, float] | None = None):
        self.planned = dict(planned or {})
        self._evaluations: Counter[str] = Counter()
        self._edits: Counter[str] = Counter()

    def add(self, combination: str, record: Mapping[str, Any]) -> int:
        """Add an edit that was made, and return its cost."""
        cost = cost_of(record)
        self._evaluations[combination] += cost
        self._edits[combination] += 1
        return cost

    def is_known(self, combination: str) -> bool:
        """Whether the cost of a combination is recorded or forecast."""
        return self._edits[combination] > 0 or combination in self.planned

    def of(self, combination: str) -> float:
        """Mean cost of a combination's edits so far; or as planned; or the mean of all combinations."""
        if edits := self._edits[combination]:
            return self._evaluations[combination] / edits
        overall = self._evaluations.total() / max(1, self._edits.total())
        return self.planned.get(combination, overall)

    def total(self, edits: Mapping[str, int | Fraction]) -> float:
        """Cost of so many edits by each combination."""
        return sum(float(count) * self.of(combination) for combination, count in edits.items())
