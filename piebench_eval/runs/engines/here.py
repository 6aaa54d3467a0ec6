"""The engine for one device: this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.runs.engines.base import Loaded, Lost
from piebench_eval.runs.worker import Worker, WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Generator

    from piebench_eval.runs.desk import Desk
    from piebench_eval.runs.recipe import Recipe
    from piebench_eval.runs.records import Outcome

_NAME = "0"


class HereEngine:
    """Works through the jobs one by one."""

    name = "local, in one process"

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        self._spec, self._recipe = spec, recipe

    def work(self, desk: Desk) -> Generator[Outcome | Loaded | Lost, None, None]:
        """See ``Engine.work``."""
        worker = Worker(self._spec, self._recipe, _NAME)
        known = None
        while (task := desk.take(_NAME)) is not None:
            model, job = task
            if model != known:
                yield Loaded(_NAME, model, worker.load(model), worker.editor.about)
                known = model
            yield from worker.run(model, job)
            desk.finish(_NAME)
