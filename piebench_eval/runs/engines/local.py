"""The engine for one machine: a worker process per device, or several on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import ModelLoaded, WorkerLost, recipe_for_worker, saved_edits
from piebench_eval.runs.worker import DeviceUnusableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import EditKey, Outcome

_DEATHS_IN_A_ROW = 3
"""A worker process that dies so often without finishing a job is not started again."""

_SECONDS_TO_STOP = 3.0

_POLL_SECONDS = 0.02
"""How often a worker process that waits for a request checks whether a batch has been saved."""


@dataclass(frozen=True)
class _LoadModel:
    """A request to a worker process: load a model."""

    model: ModelSpec


@dataclass(frozen=True)
class _RunJob:
    """A request to a worker process: do a job."""

    model: ModelSpec
    job: Job
    next_samples: tuple[Sample, ...]


@dataclass(frozen=True)
class _Started:
    """A worker process is ready for its first job."""


@dataclass(frozen=True)
class _JobEdited:
    """A worker process is ready for its next job; batches of this one may still be in saving."""


@dataclass(frozen=True)
class _JobSaved:
    """A worker process has reported all edits of its oldest running job."""


@dataclass(frozen=True)
class _Ending:
    """Why a worker process is about to end."""

    reason: str


@dataclass(frozen=True)
class _Fatal:
    """A worker process met an error that every other would meet too."""

    message: str


@dataclass
class _Process:
    """A worker process, as the session sees it; ``reported`` are the edits whose outcomes it has sent."""

    name: str
    spec: WorkerSpec
    process: SpawnProcess
    connection: Connection
    model: ModelSpec | None = None
    request: _RunJob | None = None
    idle: bool = False
    reported: set[EditKey] = field(default_factory=set)
    ending: str | None = None


class LocalEngine:
    """Worker processes on this machine.

    The process of the session imports nothing heavy and uses no device.
    """

    def __init__(self, specs: Sequence[WorkerSpec], recipe: Recipe):
        """Args: specs: one per worker. recipe: the recipe of the run."""
        self.name = f"local, {len(specs)} processes"
        self._specs = {str(number): spec for number, spec in enumerate(specs)}
        self._recipe = recipe
        self._deaths = dict.fromkeys(self._specs, 0)

    def run(self, queue: JobQueue) -> Generator[Outcome | ModelLoaded | WorkerLost, None, None]:
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

    def _on_message(
        self, message: Any, worker: _Process, queue: JobQueue
    ) -> Iterator[Outcome | ModelLoaded | WorkerLost]:
        """Handle a message of a worker process."""
        if isinstance(message, _Fatal):
            raise PiebenchError(message.message)
        if isinstance(message, ModelLoaded):
            yield message
            _send(worker, worker.request)
        elif isinstance(message, _Started):
            worker.idle = True
        elif isinstance(message, _JobEdited):
            worker.idle = True
            self._deaths[worker.name] = 0
        elif isinstance(message, _JobSaved):
            queue.finish(worker.name)
        elif isinstance(message, _Ending):
            worker.ending = message.reason
        else:
            worker.reported.add(message.key)
            yield message

    def _start(self, name: str) -> _Process:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        spec = self._specs[name]
        process = context.Process(
            target=_serve, args=(there, spec, self._recipe.to_yaml(), name), daemon=True
        )
        process.start()
        there.close()
        return _Process(name, spec, process, here)

    def _on_worker_lost(
        self, lost: _Process, workers: dict[str, _Process], queue: JobQueue
    ) -> Iterator[Outcome | ModelLoaded | WorkerLost]:
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
        replaced = self._deaths[lost.name] < _DEATHS_IN_A_ROW
        if replaced:
            workers[lost.name] = self._start(lost.name)
        else:
            del workers[lost.name]
        yield WorkerLost(lost.name, reason, given_up, replaced)
        if not workers:
            raise PiebenchError(
                f"{reason}, {_DEATHS_IN_A_ROW} times in a row, and no worker is left; what is finished "
                "is kept. If memory is short, use fewer --workers or a smaller --batch-size"
            )


def _assign_job(worker: _Process, queue: JobQueue) -> None:
    """Send an idle worker process its next job, or first the job's model."""
    if not worker.idle or (task := queue.next_job(worker.name)) is None:
        return
    worker.idle, worker.request = False, _RunJob(*task, queue.next_samples(worker.name))
    if worker.request.model == worker.model:
        _send(worker, worker.request)
    else:
        worker.model = worker.request.model
        _send(worker, _LoadModel(worker.model))


def _send(worker: _Process, message: Any) -> None:
    # A process that has died is noticed when its connection is read.
    with suppress(OSError):
        worker.connection.send(message)


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


def _serve(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    """The main function of a worker process: load models and do jobs until the session ends."""
    # Ctrl-C or a launcher's warning reaches all processes; the session decides what happens.
    for ignored in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, ignored):  # Windows lacks some
            signal.signal(getattr(signal, ignored), signal.SIG_IGN)
    _exit_with_parent()
    try:
        _serve_requests(connection, spec, recipe, name)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except PiebenchError as error:
        connection.send(_Fatal(str(error)))
    except RuntimeError as error:
        if not (isinstance(error, DeviceUnusableError) or is_device_error(error)):
            raise
        connection.send(_Ending(first_line(error)))


def _serve_requests(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    from piebench_eval.runs.worker import Worker

    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    worker = Worker(spec, recipe_for_worker(spec, recipe), name)
    connection.send(_Started())
    saving: deque[Future[list[Outcome]] | None] = deque()
    while True:
        request = _next_request(connection, saving)
        if isinstance(request, _LoadModel):
            fingerprint = worker.load(request.model)
            connection.send(ModelLoaded(name, request.model, fingerprint, worker.runner.about))
        else:
            for batch in worker.begin(request.model, request.job, request.next_samples):
                saving.append(batch)
                _send_saved(connection, saving, worker.batches_in_saving)
            saving.append(None)
            if not worker.batches_in_saving:
                _send_saved(connection, saving)
            connection.send(_JobEdited())


def _next_request(connection: Connection, saving: deque[Future[list[Outcome]] | None]) -> Any:
    """Wait for a request, and send outcomes meanwhile as they are saved."""
    while saving and not connection.poll(_POLL_SECONDS):
        if saving[0] is None or saving[0].done():
            _send_saved(connection, saving, len(saving) - 1)
    return connection.recv()


def _send_saved(connection: Connection, saving: deque[Future[list[Outcome]] | None], but: int = 0) -> None:
    """Send the outcomes of batches once they are saved, except of the newest; None ends a job."""
    while len(saving) > but:
        batch = saving.popleft()
        for message in [_JobSaved()] if batch is None else batch.result():
            connection.send(message)


def _exit_with_parent() -> None:
    """Exit when the parent process ends, however it ends: no orphan keeps writing to the run folder."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
