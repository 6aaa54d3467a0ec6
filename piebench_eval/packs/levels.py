"""How far a pack has been verified: four levels, each of which includes those before it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Level(IntEnum):
    """How far a pack has been verified."""

    CLAIMED = 0
    SCORES_GIVEN = 1
    RESCORED = 2
    REMADE = 3

    @property
    def title(self) -> str:
        """Its name in print."""
        return _TITLES[self]


_TITLES = {
    Level.CLAIMED: "claimed",
    Level.SCORES_GIVEN: "scores given",
    Level.RESCORED: "pictures re-scored",
    Level.REMADE: "edits re-made",
}

ABOUT_LEVELS = {
    Level.CLAIMED: "there are numbers, and nothing that holds them up",
    Level.SCORES_GIVEN: "recipe, records and pictures belong together, and the means follow from the scores",
    Level.RESCORED: "pictures were scored again here, and their scores hold",
    Level.REMADE: "edits were made again here by the recipe, and gave the same pictures",
}
"""What each level says."""


@dataclass(frozen=True)
class Check:
    """One check of a pack.

    Attributes:
        name: what was checked.
        level: the level that needs it.
        passed: whether it holds; None if it was not made.
        detail: what was found, or why it was not made.
    """

    name: str
    level: Level
    passed: bool | None
    detail: str


def reached(checks: Sequence[Check]) -> Level:
    """The highest level all of whose checks, and those of the levels below it, hold."""
    level = Level.CLAIMED
    for higher in list(Level)[1:]:
        needed = [check for check in checks if check.level == higher]
        if not needed or not all(check.passed for check in needed):
            break
        level = higher
    return level
