"""The engine for one device: this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import Event, ModelLoaded
from piebench_eval.runs.worker import DeviceUnusableError, Worker

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import Outcome

_NAME = "0"
"""Name of the only worker."""


class InProcessEngine:
    """Does the jobs one by one in this process; on a GPU, a batch is saved while the next one is edited."""

    name = "local, in one process"

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        self._spec, self._recipe = spec, recipe

    def run(self, queue: JobQueue) -> Generator[Event, None, None]:
        """See ``Engine.run``."""
        try:
            worker = Worker(self._spec, self._recipe, _NAME)
            try:
                yield from _run_jobs(worker, queue)
            finally:
                worker.close()  # also after an interrupt: finished edits are saved
        except DeviceUnusableError as error:
            edits = ", ".join(outcome.key.sample for outcome in error.failures)
            raise PiebenchError(
                f"{error}.\n{error.job.name} of {edits} is recorded as failed, and what is finished is kept: "
                "run the same command again to make the rest; --retry-failed --batch-size 1 makes "
                "these edits again, each by itself"
            ) from error
        except RuntimeError as error:
            if not is_device_error(error):
                raise
            raise PiebenchError(
                f"--devices {self._spec.device}: {first_line(error)}; see what else uses the GPU, or choose "
                "another. What is finished is kept"
            ) from error


def _run_jobs(worker: Worker, queue: JobQueue) -> Generator[Event, None, None]:
    saving: deque[Future[list[Outcome]]] = deque()
    loaded = unusable = None
    try:
        while (task := queue.next_job(_NAME)) is not None:
            model, job = task
            if model != loaded:
                yield ModelLoaded(_NAME, model, worker.load(model), worker.runner.about)
                loaded = model
            for batch in worker.begin(model, job, queue.next_samples(_NAME)):
                saving.append(batch)
                while len(saving) > worker.batches_in_saving:
                    yield from saving.popleft().result()
            queue.finish(_NAME)
    except DeviceUnusableError as error:
        saving.append(worker.save_failures(error))
        unusable = error
    while saving:
        yield from saving.popleft().result()
    if unusable is not None:
        raise unusable
