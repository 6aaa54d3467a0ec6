"""What every engine is to the session, and what it tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from piebench_eval.runs.store.folder import RunStore, plugins_of_run
from piebench_eval.runs.store.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, Model
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import EditKey
    from piebench_eval.runs.worker import WorkerSpec


@dataclass(frozen=True)
class Loaded:
    """A worker has a model ready and waits: it begins to edit when the session asks for the next event.

    Attributes:
        worker: its name.
        model: the model.
        fingerprint: of its files.
        about: the worker's device and machine.
    """

    worker: str
    model: Model
    fingerprint: str | None
    about: dict[str, Any]


@dataclass(frozen=True)
class Lost:
    """A worker has died.

    Attributes:
        worker: its name.
        reason: what is known of its death.
        given_up: the job over which too many have died; others get what else it had.
        replaced: whether a new worker takes its place.
    """

    worker: str
    reason: str
    given_up: Job | None
    replaced: bool


class Engine(Protocol):
    """Executes jobs.

    Attributes:
        name: for the session's file.
    """

    name: str

    def work(self, queue: JobQueue) -> Generator[Outcome | Loaded | Lost, None, None]:
        """Have every job of the queue done; closing the iterator ends all workers at once.

        Raises:
            PiebenchError: the work cannot go on: no model, no disk, no worker left.
        """
        ...


def recipe_for_worker(spec: WorkerSpec, recipe: str) -> Recipe:
    """Build a recipe in a worker's own process, which imports its plugins.

    Args:
        spec: the worker's.
        recipe: from ``Recipe.to_yaml``.

    Raises:
        PiebenchError: a plugin is missing, or is not the one that the run began with.
    """
    import yaml

    from piebench_eval.recipes.recipe import build_recipe

    known = plugins_of_run(spec.out) if spec.out is not None else None
    return build_recipe(yaml.safe_load(recipe), {}, "recipe", known)


def saved_edits(spec: WorkerSpec, recipe: Recipe, jobs: Sequence[Job]) -> dict[EditKey, Outcome]:
    """The edits of a dead worker's jobs that are in the run folder."""
    if spec.out is None or not jobs:
        return {}
    samples = dict.fromkeys(sample for job in jobs for sample in job.samples)
    done = RunStore(spec.out, recipe).scan(samples).done
    wanted = [job.key(sample) for job in jobs for sample in job.wanted]
    return {key: Outcome(key, done[key]) for key in wanted if key in done}
