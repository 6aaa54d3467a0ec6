"""How fast work goes that is finished in bursts: all edits of a batch are reported at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

WINDOW = 15 * 60.0
"""Seconds of the newest work that make the pace."""

_FEWEST = 3
"""Bursts that make the pace at least, however long they take."""


@dataclass
class _Burst:
    """What was finished together."""

    began: float
    ended: float
    work: float
    seconds: float


class Pace:
    """How much one worker does in a second.

    Two bursts measure the work of the second; of the first nobody knows when it was begun, unless it says
    how long it took, or ``began`` says when work did.
    """

    def __init__(self, began: float | None = None):
        """Args: began: when work began, in seconds."""
        self._began = began
        self._bursts: deque[_Burst] = deque()
        self._work = 0.0

    @property
    def newest(self) -> float:
        """When something was finished last, in seconds; minus infinity if nothing was."""
        return self._bursts[-1].ended if self._bursts else float("-inf")

    @property
    def patience(self) -> float:
        """Seconds without news after which a worker is not at work any more."""
        return max(WINDOW, _FEWEST * max((burst.seconds for burst in self._bursts), default=0.0))

    def add(self, at: float, work: float, seconds: float = 0.0) -> None:
        """Take note of finished work.

        Args:
            at: when it was finished, in seconds.
            work: how much it was, in whatever unit.
            seconds: how long its whole batch took; 0 if nobody knows. What is finished in less than half of
                that after something else belongs to the same batch.
        """
        self._work += work
        last = self._bursts[-1] if self._bursts else None
        if last is not None and at - last.began <= seconds / 2:
            last.ended, last.work, last.seconds = at, last.work + work, max(last.seconds, seconds)
            return
        self._bursts.append(_Burst(at, at, work, seconds))
        while len(self._bursts) > _FEWEST and at - self._bursts[0].ended > WINDOW:
            self._work -= self._bursts.popleft().work

    def per_second(self) -> float | None:
        """Work done in a second; None if that cannot be told yet."""
        if not self._bursts:
            return None
        first, last = self._bursts[0], self._bursts[-1]
        if first is not last:
            work, seconds = self._work - first.work, last.ended - first.ended
        elif first.seconds or self._began is None:
            work, seconds = first.work, first.seconds
        else:
            work, seconds = first.work, first.ended - self._began
        return work / seconds if work > 0 and seconds > 0 else None


def joint_speed(paces: Collection[Pace], workers: int) -> float | None:
    """Work that several workers do in a second together.

    Args:
        paces: those of workers that have finished something.
        workers: how many are at work. Those without a pace yet are taken to be as fast as the others; of more
            paces than workers, the newest are theirs.
    """
    newest = sorted(paces, key=lambda pace: pace.newest)[-workers:] if workers else list(paces)
    speeds = [speed for pace in newest if (speed := pace.per_second()) is not None]
    if not speeds:
        return None
    return sum(speeds) / len(speeds) * max(workers, len(speeds))
