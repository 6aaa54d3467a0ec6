"""Pace of work that is finished in bursts: all edits of a batch are reported at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

WINDOW = 15 * 60.0
"""The pace is that of the newest work, of so many seconds."""

_FEWEST = 3
"""The pace is that of at least so many bursts."""


@dataclass
class _Burst:
    """Work that was finished together."""

    began: float
    ended: float
    work: float
    seconds: float


class Pace:
    """Work per second of one worker.

    Two bursts measure the work of the second. The first measures its own only if it says how long it took,
    or if ``began`` says when the work began.
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
    def timeout(self) -> float:
        """Seconds without finished work after which a worker counts as gone."""
        return max(WINDOW, _FEWEST * max((burst.seconds for burst in self._bursts), default=0.0))

    def add(self, at: float, work: float, seconds: float = 0.0) -> None:
        """Add finished work.

        Args:
            at: when it was finished, in seconds.
            work: how much, in any unit.
            seconds: how long its whole batch took; 0 if unknown. Work that is finished less than half of that
                after other work belongs to the same batch.
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
        """Work per second; None if unknown yet."""
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
    """Work per second of several workers together.

    Args:
        paces: paces of the workers that have finished something.
        workers: number of active workers. Those without a pace count as fast as the others; of more paces
            than workers, the newest count.
    """
    newest = sorted(paces, key=lambda pace: pace.newest)[-workers:] if workers else list(paces)
    speeds = [speed for pace in newest if (speed := pace.per_second()) is not None]
    if not speeds:
        return None
    return sum(speeds) / len(speeds) * max(workers, len(speeds))
