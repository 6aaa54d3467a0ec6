"""The engine for several processes of this machine: one per device, or several on a CPU.

The states of a worker process, and the messages that change them (requests to it in capitals)::

    STARTING --started--> IDLE --LOAD MODEL--> LOADING --loaded, RUN JOB--> EDITING --edited--> IDLE
                          IDLE --------RUN JOB, its model is loaded-------> EDITING

A process can die in any state; its connection then closes. Two limits end the attempts to replace it:

- ``MAX_ATTEMPTS`` deaths over one job, of any workers: the queue gives the job up, and its edits are recorded
  as failed. This limits a job that kills every worker.
- ``_MAX_DEATHS_IN_A_ROW`` deaths of one worker without a completed job: it is not started again. This limits
  a device that kills its workers before they have a job, or over different jobs.

A death over a job counts for both, except the one that makes the queue give the job up: it sets the worker's
count to 0, since the job is to blame.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.runs.engines.base import Event, ModelLoaded, WorkerLost, saved_edits
from piebench_eval.runs.engines.messages import (
    JobEdited,
    JobSaved,
    LoadModel,
    RunImpossible,
    RunJob,
    WorkerEnding,
    WorkerStarted,
)
from piebench_eval.runs.engines.worker_process import serve

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import EditKey

_MAX_DEATHS_IN_A_ROW = 3
"""A worker that has died so often without completing a job is not started again."""

_SECONDS_TO_STOP = 3.0


class _State(Enum):
    """What a worker process is doing, see the diagram above."""

    STARTING = auto()
    IDLE = auto()
    LOADING = auto()
    EDITING = auto()


@dataclass
class _Process:
    """A worker process, as the engine sees it.

    Attributes:
        name: name of the worker.
        spec: its specification.
        process: the process.
        connection: where requests go to and reports come from.
        state: what it is doing.
        model: the model that it has loaded, or is loading.
        request: its newest job.
        reported: edits of its jobs whose outcomes it has sent.
        ending: why it is about to end, if it said so.
    """

    name: str
    spec: WorkerSpec
    process: SpawnProcess
    connection: Connection
    state: _State = _State.STARTING
    model: ModelSpec | None = None
    request: RunJob | None = None
    reported: set[EditKey] = field(default_factory=set)
    ending: str | None = None


class MultiprocessEngine:
    """Gives jobs to worker processes of this machine.

    The engine's own process does not import PyTorch and uses no device.
    """

    def __init__(self, specs: Sequence[WorkerSpec], recipe: Recipe):
        """Args: specs: one per worker. recipe: the recipe of the run."""
        self.name = f"local, {len(specs)} processes"
        self._specs = {str(number): spec for number, spec in enumerate(specs)}
        self._recipe = recipe
        self._deaths = dict.fromkeys(self._specs, 0)

    def run(self, queue: JobQueue) -> Generator[Event, None, None]:
        """See ``Engine.run``."""
        workers: dict[str, _Process] = {}
        try:
            for name in self._specs:
                workers[name] = self._start(name)
            while not queue.is_empty:
                by_connection = {worker.connection: worker for worker in workers.values()}
                for connection in wait(list(by_connection)):
                    worker = by_connection[connection]  # type: ignore[index]
                    try:
                        message = worker.connection.recv()
                    except (EOFError, OSError):
                        yield from self._on_worker_lost(worker, workers, queue)
                        continue
                    yield from self._on_message(message, worker, queue)
                for worker in workers.values():
                    _assign_job(worker, queue)
        finally:
            _stop(list(workers.values()))

    def _on_message(self, message: Any, worker: _Process, queue: JobQueue) -> Iterator[Event]:
        """Handle a message of a worker process."""
        if isinstance(message, RunImpossible):
            raise PiebenchError(message.message)
        if isinstance(message, ModelLoaded):
            yield message
            worker.state = _State.EDITING
            _send(worker, worker.request)
        elif isinstance(message, WorkerStarted):
            worker.state = _State.IDLE
        elif isinstance(message, JobEdited):
            worker.state = _State.IDLE
            self._deaths[worker.name] = 0
        elif isinstance(message, JobSaved):
            queue.finish(worker.name)
        elif isinstance(message, WorkerEnding):
            worker.ending = message.reason
        else:
            worker.reported.add(message.key)
            yield message

    def _start(self, name: str) -> _Process:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        spec = self._specs[name]
        process = context.Process(target=serve, args=(there, spec, self._recipe.to_yaml(), name), daemon=True)
        process.start()
        there.close()
        return _Process(name, spec, process, here)

    def _on_worker_lost(
        self, lost: _Process, workers: dict[str, _Process], queue: JobQueue
    ) -> Iterator[Event]:
        """Start a worker process in place of one that has died, unless its device seems to kill them."""
        lost.connection.close()
        lost.process.join()
        # What it saved last, it could not report; the run folder has it.
        saved = saved_edits(lost.spec, self._recipe, queue.running(lost.name))
        yield from (outcome for key, outcome in saved.items() if key not in lost.reported)
        given_up = queue.requeue(lost.name, saved.keys() | lost.reported)
        # If a job was given up, the job killed the worker, not the device.
        self._deaths[lost.name] = 0 if given_up else self._deaths[lost.name] + 1
        ended = f"ended: {lost.ending}" if lost.ending else _describe_exit(lost.process.exitcode)
        reason = f"worker {lost.name} on {lost.spec.device} {ended}"
        replaced = self._deaths[lost.name] < _MAX_DEATHS_IN_A_ROW
        if replaced:
            workers[lost.name] = self._start(lost.name)
        else:
            del workers[lost.name]
        yield WorkerLost(lost.name, reason, given_up, replaced)
        if not workers:
            raise PiebenchError(
                f"{reason}, {_MAX_DEATHS_IN_A_ROW} times in a row, and no worker is left; what is finished "
                "is kept. If memory is short, use fewer --workers or a smaller --batch-size"
            )


def _assign_job(worker: _Process, queue: JobQueue) -> None:
    """Send an idle worker process its next job, or first the job's model."""
    if worker.state is not _State.IDLE or (task := queue.next_job(worker.name)) is None:
        return
    worker.request = RunJob(*task, queue.next_samples(worker.name))
    if worker.request.model == worker.model:
        worker.state = _State.EDITING
        _send(worker, worker.request)
    else:
        worker.state = _State.LOADING
        worker.model = worker.request.model
        _send(worker, LoadModel(worker.model))


def _send(worker: _Process, request: LoadModel | RunJob | None) -> None:
    # A process that has died is noticed when its connection is read.
    with suppress(OSError):
        worker.connection.send(request)


def _describe_exit(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit code {exitcode}"


def _stop(workers: list[_Process]) -> None:
    """Stop worker processes at once; finished edits are on disk, the batches being edited are lost."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_STOP
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()
