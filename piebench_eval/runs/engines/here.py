"""The engine for one device: this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from piebench_eval.runs.engines.base import Loaded, Lost
from piebench_eval.runs.worker import Worker, WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    from piebench_eval.runs.desk import Desk
    from piebench_eval.runs.recipe import Recipe
    from piebench_eval.runs.records import Outcome

_NAME = "0"


class HereEngine:
    """Works through the jobs one by one; on a GPU, a batch is saved while the next one is edited."""

    name = "local, in one process"

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        self._spec, self._recipe = spec, recipe

    def work(self, desk: Desk) -> Generator[Outcome | Loaded | Lost, None, None]:
        """See ``Engine.work``."""
        worker = Worker(self._spec, self._recipe, _NAME)
        # On a CPU, editing and saving would share the cores, and the user would hear of each edit late.
        saved_behind = 0 if worker.editor.capacity is None else 1
        saving: deque[Future[list[Outcome]]] = deque()
        known = None
        try:
            while (task := desk.take(_NAME)) is not None:
                model, job = task
                if model != known:
                    yield Loaded(_NAME, model, worker.load(model), worker.editor.about)
                    known = model
                for batch in worker.begin(model, job, desk.next_samples(_NAME)):
                    saving.append(batch)
                    while len(saving) > saved_behind:
                        yield from saving.popleft().result()
                desk.finish(_NAME)
            while saving:
                yield from saving.popleft().result()
        finally:
            worker.close()  # interrupted: what has been edited is kept
