"""The engine for one machine: a process per device, or several on a CPU, which fetch job after job."""

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
from piebench_eval.runs.engines.base import Loaded, Lost, recipe_for_worker, saved_edits
from piebench_eval.runs.worker import SpoiltProcess

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, Model
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import EditKey, Outcome
    from piebench_eval.runs.worker import WorkerSpec

_DEATHS_IN_A_ROW = 3
"""A worker that dies so often without finishing a job is not started again."""

_SECONDS_TO_END = 3.0

_LOOK_SECONDS = 0.02
"""How often a worker process that waits for an order looks whether something has been saved."""


@dataclass(frozen=True)
class _Load:
    """An order: have a model ready."""

    model: Model


@dataclass(frozen=True)
class _Run:
    """An order: do a job."""

    model: Model
    job: Job
    next_samples: tuple[Sample, ...]


@dataclass(frozen=True)
class _Ready:
    """A worker process can take its first job."""


@dataclass(frozen=True)
class _Edited:
    """A worker process can take its next job; of this one, something may still be being saved."""


@dataclass(frozen=True)
class _Done:
    """A worker process has told all of a job, the oldest that it had not."""


@dataclass(frozen=True)
class _LastWords:
    """Why a worker process ends."""

    reason: str


@dataclass(frozen=True)
class _Fatal:
    """A worker process met an error that every other would meet as well."""

    message: str


@dataclass
class _Process:
    """A worker's process, as the session sees it; ``told`` are the edits that it has told of."""

    name: str
    spec: WorkerSpec
    process: SpawnProcess
    connection: Connection
    model: Model | None = None
    order: _Run | None = None
    idle: bool = False
    told: set[EditKey] = field(default_factory=set)
    last_words: str | None = None


class LocalEngine:
    """Worker processes of this machine.

    The session's process itself imports nothing heavy and touches no device.
    """

    def __init__(self, specs: Sequence[WorkerSpec], recipe: Recipe):
        """Args: specs: one per worker. recipe: how pictures are edited."""
        self.name = f"local, {len(specs)} processes"
        self._specs = {str(number): spec for number, spec in enumerate(specs)}
        self._recipe = recipe
        self._deaths = dict.fromkeys(self._specs, 0)

    def work(self, queue: JobQueue) -> Generator[Outcome | Loaded | Lost, None, None]:
        """See ``Engine.work``."""
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
                        yield from self._replace(worker, workers, queue)
                        continue
                    yield from self._on_message(message, worker, queue)
                for worker in workers.values():
                    _give_work(worker, queue)
        finally:
            _end(list(workers.values()))

    def _on_message(
        self, message: Any, worker: _Process, queue: JobQueue
    ) -> Iterator[Outcome | Loaded | Lost]:
        """React to what a worker says."""
        if isinstance(message, _Fatal):
            raise PiebenchError(message.message)
        if isinstance(message, Loaded):
            yield message
            _send(worker, worker.order)
        elif isinstance(message, _Ready):
            worker.idle = True
        elif isinstance(message, _Edited):
            worker.idle = True
            self._deaths[worker.name] = 0
        elif isinstance(message, _Done):
            queue.finish(worker.name)
        elif isinstance(message, _LastWords):
            worker.last_words = message.reason
        else:
            worker.told.add(message.key)
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

    def _replace(
        self, dead: _Process, workers: dict[str, _Process], queue: JobQueue
    ) -> Iterator[Outcome | Loaded | Lost]:
        """Start a worker in a dead one's place, unless the place seems to kill them."""
        dead.connection.close()
        dead.process.join()
        # What it saved in its last moment is known from the folder alone.
        saved = saved_edits(dead.spec, self._recipe, queue.at_work(dead.name))
        yield from (outcome for key, outcome in saved.items() if key not in dead.told)
        given_up = queue.requeue(dead.name, saved.keys() | dead.told)
        # A job that has been given up was the killer, not the place.
        self._deaths[dead.name] = 0 if given_up else self._deaths[dead.name] + 1
        ended = f"ended: {dead.last_words}" if dead.last_words else _how_it_ended(dead.process.exitcode)
        reason = f"worker {dead.name} on {dead.spec.device} {ended}"
        replaced = self._deaths[dead.name] < _DEATHS_IN_A_ROW
        if replaced:
            workers[dead.name] = self._start(dead.name)
        else:
            del workers[dead.name]
        yield Lost(dead.name, reason, given_up, replaced)
        if not workers:
            raise PiebenchError(
                f"{reason}, {_DEATHS_IN_A_ROW} times in a row, and no worker is left; what is finished "
                "is kept. If memory is short, use fewer --workers or a smaller --batch-size"
            )


def _give_work(worker: _Process, queue: JobQueue) -> None:
    """Hand an idle worker its next job; a model that it has not loaded comes first."""
    if not worker.idle or (task := queue.next_job(worker.name)) is None:
        return
    worker.idle, worker.order = False, _Run(*task, queue.next_samples(worker.name))
    if worker.order.model == worker.model:
        _send(worker, worker.order)
    else:
        worker.model = worker.order.model
        _send(worker, _Load(worker.model))


def _send(worker: _Process, message: Any) -> None:
    # To a dead process: its connection says so when it is read.
    with suppress(OSError):
        worker.connection.send(message)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"
    return f"ended with exit code {exitcode}"


def _end(workers: list[_Process]) -> None:
    """End workers at once: what they are at is lost, what they have finished is on the disk."""
    for worker in workers:
        worker.process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_END
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.connection.close()


def _serve(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    """A worker process's life: load models and make edits as the session says, until the session ends."""
    # An interrupt at the keyboard, or a launcher's warning, goes to all processes; the session decides.
    for ignored in ("SIGINT", "SIGUSR1"):
        if hasattr(signal, ignored):  # Windows lacks some
            signal.signal(getattr(signal, ignored), signal.SIG_IGN)
    _end_with_the_session()
    try:
        _take_orders(connection, spec, recipe, name)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except PiebenchError as error:
        connection.send(_Fatal(str(error)))
    except RuntimeError as error:
        if not (isinstance(error, SpoiltProcess) or is_device_error(error)):
            raise
        connection.send(_LastWords(first_line(error)))


def _take_orders(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    from piebench_eval.runs.worker import Worker

    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    worker = Worker(spec, recipe_for_worker(spec, recipe), name)
    connection.send(_Ready())
    saving: deque[Future[list[Outcome]] | None] = deque()
    while True:
        order = _next_order(connection, saving)
        if isinstance(order, _Load):
            fingerprint = worker.load(order.model)
            connection.send(Loaded(name, order.model, fingerprint, worker.editor.about))
        else:
            for batch in worker.begin(order.model, order.job, order.next_samples):
                saving.append(batch)
                _tell(connection, saving, worker.batches_behind)
            saving.append(None)
            if not worker.batches_behind:
                _tell(connection, saving)
            connection.send(_Edited())


def _next_order(connection: Connection, saving: deque[Future[list[Outcome]] | None]) -> Any:
    """Wait for an order, and tell meanwhile of what is saved."""
    while saving and not connection.poll(_LOOK_SECONDS):
        if saving[0] is None or saving[0].done():
            _tell(connection, saving, len(saving) - 1)
    return connection.recv()


def _tell(connection: Connection, saving: deque[Future[list[Outcome]] | None], all_but: int = 0) -> None:
    """Tell of what is being saved once it is, except of the newest; None ends a job."""
    while len(saving) > all_but:
        batch = saving.popleft()
        for message in [_Done()] if batch is None else batch.result():
            connection.send(message)


def _end_with_the_session() -> None:
    """Let this process die with its parent, however that dies: no orphan works on a folder in secret."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
