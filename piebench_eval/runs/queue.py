"""A queue of jobs for workers, with re-queuing when a worker dies."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.jobs import Job, Model, Unit
    from piebench_eval.runs.store.records import EditKey

ATTEMPTS = 3
"""How many workers may die over one job before it counts as the job's fault."""


class JobQueue:
    """Hands out the jobs of a run, unit by unit: the work that a unit's jobs share stays in one place.

    A worker that finds no unit left takes the last job of the longest unit that another is at.
    """

    def __init__(self, units: Iterable[Unit]):
        self._units = deque(deque((unit.model, job) for job in unit.jobs) for unit in units)
        self._opened: dict[str, deque[tuple[Model, Job]]] = {}
        self._running: dict[str, deque[tuple[Model, Job]]] = {}
        self._deaths: Counter[tuple[str, str, tuple[Sample, ...]]] = Counter()

    @property
    def is_empty(self) -> bool:
        """Whether every job has been handed out, and none is being worked at."""
        return not self._units and not self._running and not any(self._opened.values())

    def next_job(self, worker: str) -> tuple[Model, Job] | None:
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
        self._running.setdefault(worker, deque()).append(task)
        return task

    def next_samples(self, worker: str) -> tuple[Sample, ...]:
        """The samples of the job that a worker will have after its own, as far as that can be told."""
        coming = self._opened.get(worker) or (self._units[0] if self._units else None)
        return coming[0][1].samples if coming else ()

    def at_work(self, worker: str) -> list[Job]:
        """The jobs that a worker has not finished: the last is being edited, others are being saved."""
        return [job for _, job in self._running.get(worker, ())]

    def finish(self, worker: str) -> None:
        """A worker has done the first of the jobs that it is at."""
        self._running[worker].popleft()
        if not self._running[worker]:
            del self._running[worker]

    def requeue(self, worker: str, settled: Container[EditKey] = (), give_up: bool = False) -> Job | None:
        """A worker has died: others get what it had, the jobs that it was at first.

        Args:
            worker: its name.
            settled: edits that need not be made again.
            give_up: the job that it was editing has been tried often enough.

        Returns:
            What is left of that job, if it is given up because too many workers have died over it.
        """
        left = self._opened.pop(worker, deque())
        given_up = None
        edited_last = True
        for model, job in reversed(self._running.pop(worker, ())):
            if (rest := job.without(settled)) is not None:
                if edited_last and (give_up or self._counts_as_killer(job)):
                    given_up = rest
                else:
                    left.appendleft((model, rest))
            edited_last = False
        if left:
            self._units.appendleft(left)
        return given_up

    def _counts_as_killer(self, job: Job) -> bool:
        """Count a death over a job; whether it is one too many."""
        over = (job.inversion, job.method, job.samples)
        self._deaths[over] += 1
        return self._deaths[over] >= ATTEMPTS
