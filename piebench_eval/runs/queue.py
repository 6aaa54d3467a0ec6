"""A queue of jobs for workers, with re-queuing when a worker dies."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.jobs import Job, JobGroup, ModelSpec
    from piebench_eval.runs.store.records import EditKey

MAX_ATTEMPTS = 3
"""A job over which so many workers have died is given up."""


class JobQueue:
    """Hands out the jobs of a run, group by group: the jobs of a group share work and stay with one worker.

    When no group is left, a worker takes the last job of the longest group that another has begun.
    """

    def __init__(self, groups: Iterable[JobGroup]):
        self._groups = deque(deque((group.model, job) for job in group.jobs) for group in groups)
        self._opened: dict[str, deque[tuple[ModelSpec, Job]]] = {}
        self._running: dict[str, deque[tuple[ModelSpec, Job]]] = {}
        self._deaths: Counter[tuple[str, str, tuple[Sample, ...]]] = Counter()

    @property
    def is_empty(self) -> bool:
        """Whether every job is finished or given up."""
        return not self._groups and not self._running and not any(self._opened.values())

    def next_job(self, worker: str) -> tuple[ModelSpec, Job] | None:
        """The next job of a worker and its model; None if there is nothing to do now."""
        own = self._opened.get(worker)
        if not own and self._groups:
            own = self._opened[worker] = self._groups.popleft()
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
        """The samples of the job that a worker probably gets next; empty if unknown."""
        coming = self._opened.get(worker) or (self._groups[0] if self._groups else None)
        return coming[0][1].samples if coming else ()

    def running(self, worker: str) -> list[Job]:
        """The unfinished jobs of a worker: the last is being edited, others are being saved."""
        return [job for _, job in self._running.get(worker, ())]

    def finish(self, worker: str) -> None:
        """Note that a worker has finished the first of its running jobs."""
        self._running[worker].popleft()
        if not self._running[worker]:
            del self._running[worker]

    def requeue(self, worker: str, finished: Container[EditKey] = (), give_up: bool = False) -> Job | None:
        """Give the jobs of a dead worker to others, its running jobs first.

        Args:
            worker: name of the worker.
            finished: edits that need not be made again.
            give_up: whether the job that it was editing has been tried often enough.

        Returns:
            The rest of that job, if it is given up because too many workers have died over it; else None.
        """
        left = self._opened.pop(worker, deque())
        given_up = None
        edited_last = True
        for model, job in reversed(self._running.pop(worker, ())):
            if (rest := job.without(finished)) is not None:
                if edited_last and (give_up or self._has_failed_too_often(job)):
                    given_up = rest
                else:
                    left.appendleft((model, rest))
            edited_last = False
        if left:
            self._groups.appendleft(left)
        return given_up

    def _has_failed_too_often(self, job: Job) -> bool:
        """Count a worker's death over a job; whether it was the last attempt."""
        over = (job.inversion, job.method, job.samples)
        self._deaths[over] += 1
        return self._deaths[over] >= MAX_ATTEMPTS
