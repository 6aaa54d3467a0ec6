"""Messages between the multiprocess engine and its worker processes.

The engine sends requests. A worker process sends the reports below, and the events ``ModelLoaded`` and
``Outcome`` as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.jobs import Job, ModelSpec


@dataclass(frozen=True)
class LoadModel:
    """Request: load a model. The answer is ``ModelLoaded``."""

    model: ModelSpec


@dataclass(frozen=True)
class RunJob:
    """Request: do a job. The answers are an ``Outcome`` for each edit, ``JobEdited`` and ``JobSaved``."""

    model: ModelSpec
    job: Job
    next_samples: tuple[Sample, ...]


@dataclass(frozen=True)
class WorkerStarted:
    """Report: the worker process is ready for its first request."""


@dataclass(frozen=True)
class JobEdited:
    """Report: the worker process is ready for its next job; it may still be saving batches of this one."""


@dataclass(frozen=True)
class JobSaved:
    """Report: every edit of the oldest unfinished job is saved, and its outcome sent."""


@dataclass(frozen=True)
class WorkerEnding:
    """Report: the worker process is about to end, for this reason; another can take its place."""

    reason: str


@dataclass(frozen=True)
class RunImpossible:
    """Report: an error that every other worker process would meet too, such as a missing model."""

    message: str
