"""The interface of an engine, and the events that it yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from piebench_eval.runs.store.folder import RunStore, plugins_of_run
from piebench_eval.runs.store.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import EditKey


@dataclass(frozen=True)
class ModelLoaded:
    """A worker has loaded a model; it starts to edit when the next event is asked for.

    Attributes:
        worker: name of the worker.
        model: the model.
        fingerprint: fingerprint of its files.
        about: device and machine of the worker.
    """

    worker: str
    model: ModelSpec
    fingerprint: str | None
    about: dict[str, Any]


@dataclass(frozen=True)
class WorkerLost:
    """A worker has died.

    Attributes:
        worker: name of the worker.
        reason: why, as far as it is known.
        given_up: the job that too many workers have died over; its other jobs are queued again.
        replaced: whether a new worker takes its place.
    """

    worker: str
    reason: str
    given_up: Job | None
    replaced: bool


@dataclass(frozen=True)
class WorkersSilent:
    """Workers have not answered for a long time; the run waits for them.

    Attributes:
        reason: which workers, and what the user can look at.
    """

    reason: str


Event = Outcome | ModelLoaded | WorkerLost | WorkersSilent
"""What an engine yields."""


class Engine(Protocol):
    """Executes jobs.

    Attributes:
        name: name of the engine, for the session log.
    """

    name: str

    def run(self, queue: JobQueue) -> Generator[Event, None, None]:
        """Do every job of the queue; closing the generator ends all workers at once.

        Raises:
            PiebenchError: the run cannot continue: no model, no disk space, no worker left.
        """
        ...


def recipe_for_worker(spec: WorkerSpec, recipe: str) -> Recipe:
    """Build a recipe in the process of a worker, which imports its plugins.

    Args:
        spec: specification of the worker.
        recipe: YAML from ``Recipe.to_yaml``.

    Raises:
        PiebenchError: a plugin is missing, or is not the one that the run began with.
    """
    import yaml

    from piebench_eval.recipes.recipe import build_recipe

    known = plugins_of_run(spec.out) if spec.out is not None else None
    return build_recipe(yaml.safe_load(recipe), {}, "recipe", known)


def saved_edits(spec: WorkerSpec, recipe: Recipe, jobs: Sequence[Job]) -> dict[EditKey, Outcome]:
    """The outcomes of a dead worker's jobs that are saved in the run folder."""
    if spec.out is None or not jobs:
        return {}
    samples = dict.fromkeys(sample for job in jobs for sample in job.samples)
    done = RunStore(spec.out, recipe).scan(samples).done
    wanted = [job.key(sample) for job in jobs for sample in job.wanted]
    return {key: Outcome(key, done[key]) for key in wanted if key in done}
