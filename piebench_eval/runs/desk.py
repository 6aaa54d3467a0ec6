"""The desk where workers fetch their jobs: who gets what next, and what happens to a dead worker's job."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.runs.plan import Job, Model, Unit

ATTEMPTS = 3
"""How many workers may die over one job before it counts as the job's fault."""


class Desk:
    """Hands out the jobs of a run, unit by unit: the work that a unit's jobs share stays in one place.

    A worker that finds no unit left takes the last job of the longest unit that another is at.
    """

    def __init__(self, units: Iterable[Unit]):
        self._units = deque(deque((unit.model, job) for job in unit.jobs) for unit in units)
        self._opened: dict[str, deque[tuple[Model, Job]]] = {}
        self._running: dict[str, tuple[Model, Job]] = {}
        self._deaths: Counter[Job] = Counter()

    @property
    def is_empty(self) -> bool:
        """Whether every job has been handed out, and none is being worked at."""
        return not self._units and not self._running and not any(self._opened.values())

    def take(self, worker: str) -> tuple[Model, Job] | None:
        """The next job of a worker, and the model for it; None if there is nothing to do now."""
        own = self._opened.get(worker)
        if not own and self._units:
            own = self._opened[worker] = self._units.popleft()
        if own:
            task = own.popleft()
        else:
            longest = max(self._opened.values(), key=len, default=None)
            if not longest:
                return None
            task = longest.pop()
        self._running[worker] = task
        return task

    def finish(self, worker: str) -> None:
        """A worker has done its job."""
        self._deaths.pop(self._running.pop(worker)[1], None)

    def lose(self, worker: str, give_up: bool = False) -> Job | None:
        """A worker has died: others get what it had, the job that it was at first.

        Args:
            worker: its name.
            give_up: the job has been tried often enough.

        Returns:
            That job, if it is given up because too many workers have died over it.
        """
        left = self._opened.pop(worker, deque())
        task = self._running.pop(worker, None)
        given_up = None
        if task is not None:
            self._deaths[task[1]] += 1
            if self._deaths[task[1]] < ATTEMPTS and not give_up:
                left.appendleft(task)
            else:
                given_up = task[1]
        if left:
            self._units.appendleft(left)
        return given_up
