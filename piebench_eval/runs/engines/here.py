"""The engine for one device: this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import Loaded, Lost
from piebench_eval.runs.worker import SpoiltProcess, Worker, WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import Outcome

_NAME = "0"


class HereEngine:
    """Works through the jobs one by one; on a GPU, a batch is saved while the next one is edited."""

    name = "local, in one process"

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        self._spec, self._recipe = spec, recipe

    def work(self, queue: JobQueue) -> Generator[Outcome | Loaded | Lost, None, None]:
        """See ``Engine.work``."""
        try:
            worker = Worker(self._spec, self._recipe, _NAME)
            try:
                yield from _work_with(worker, queue)
            finally:
                worker.close()  # interrupted: what has been edited is kept
        except SpoiltProcess as error:
            edits = ", ".join(outcome.key.sample for outcome in error.failures)
            raise PiebenchError(
                f"{error}.\n{error.job.name} of {edits} is recorded as failed, and what is finished is kept: "
                "run the same command again to go on with the rest; --retry-failed --batch-size 1 makes "
                "these edits again, each by itself"
            ) from error
        except RuntimeError as error:
            if not is_device_error(error):
                raise
            raise PiebenchError(
                f"--devices {self._spec.device}: {first_line(error)}; see what else uses the GPU, or choose "
                "another. What is finished is kept"
            ) from error


def _work_with(worker: Worker, queue: JobQueue) -> Generator[Outcome | Loaded | Lost, None, None]:
    saving: deque[Future[list[Outcome]]] = deque()
    known = spoilt = None
    try:
        while (task := queue.next_job(_NAME)) is not None:
            model, job = task
            if model != known:
                yield Loaded(_NAME, model, worker.load(model), worker.editor.about)
                known = model
            for batch in worker.begin(model, job, queue.next_samples(_NAME)):
                saving.append(batch)
                while len(saving) > worker.batches_behind:
                    yield from saving.popleft().result()
            queue.finish(_NAME)
    except SpoiltProcess as error:
        saving.append(worker.record(error))
        spoilt = error
    while saving:
        yield from saving.popleft().result()
    if spoilt is not None:
        raise spoilt
