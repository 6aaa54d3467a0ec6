"""The main function of a worker process of the multiprocess engine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import ModelLoaded, recipe_for_worker
from piebench_eval.runs.engines.messages import (
    JobEdited,
    JobSaved,
    LoadModel,
    RunImpossible,
    WorkerEnding,
    WorkerStarted,
)
from piebench_eval.runs.worker import DeviceUnusableError

if TYPE_CHECKING:
    from concurrent.futures import Future
    from multiprocessing.connection import Connection

    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.store.records import Outcome

    Saving = deque[Future[list[Outcome]] | JobSaved]
    """Batches that are being saved, oldest first; ``JobSaved`` follows the last batch of each job."""

_POLL_SECONDS = 0.02
"""How often a worker process that waits for a request checks whether a batch has been saved."""


def serve(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    """Load models and do jobs as requested, until the engine or its process ends.

    Args:
        connection: where requests come from and reports go to.
        spec: the specification of the worker.
        recipe: the recipe as YAML.
        name: name of the worker.
    """
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
        connection.send(RunImpossible(str(error)))
    except RuntimeError as error:
        if not (isinstance(error, DeviceUnusableError) or is_device_error(error)):
            raise
        connection.send(WorkerEnding(first_line(error)))


def _serve_requests(connection: Connection, spec: WorkerSpec, recipe: str, name: str) -> None:
    from piebench_eval.runs.worker import Worker

    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    worker = Worker(spec, recipe_for_worker(spec, recipe), name)
    connection.send(WorkerStarted())
    saving: Saving = deque()
    while True:
        request = _next_request(connection, saving)
        if isinstance(request, LoadModel):
            fingerprint = worker.load(request.model)
            connection.send(ModelLoaded(name, request.model, fingerprint, worker.runner.about))
        else:
            for batch in worker.begin(request.model, request.job, request.next_samples):
                saving.append(batch)
                _send_saved(connection, saving, keep=worker.batches_in_saving)
            saving.append(JobSaved())
            if not worker.batches_in_saving:
                _send_saved(connection, saving)
            connection.send(JobEdited())


def _next_request(connection: Connection, saving: Saving) -> Any:
    """Wait for a request, and send outcomes meanwhile as they are saved."""
    while saving and not connection.poll(_POLL_SECONDS):
        if isinstance(saving[0], JobSaved) or saving[0].done():
            _send_saved(connection, saving, keep=len(saving) - 1)
    return connection.recv()


def _send_saved(connection: Connection, saving: Saving, keep: int = 0) -> None:
    """Wait until batches are saved and send their outcomes, oldest first, until so many entries are left."""
    while len(saving) > keep:
        entry = saving.popleft()
        for message in [entry] if isinstance(entry, JobSaved) else entry.result():
            connection.send(message)


def _exit_with_parent() -> None:
    """Exit when the parent process ends, however it ends: no orphan keeps writing to the run folder."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
