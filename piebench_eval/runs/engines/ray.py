"""The engine for a Ray cluster: actors hold the model; Ray restarts them and tries their jobs again."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import Loaded, Lost, recipe_for_worker, saved_edits
from piebench_eval.runs.queue import ATTEMPTS
from piebench_eval.runs.worker import SpoiltProcess

if TYPE_CHECKING:
    from collections.abc import Generator

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, Model
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import Outcome
    from piebench_eval.runs.worker import WorkerSpec

_SILENCE_SECONDS = 300
"""After so long without news, the user is told who is awaited."""


@dataclass(frozen=True)
class RayOptions:
    """What the user says of the cluster.

    Attributes:
        address: ``auto`` for the cluster that this machine belongs to, ``ray://HOST:PORT``; None lets Ray
            choose: RAY_ADDRESS, a cluster on this machine, or one that it starts here and ends afterwards.
        actors: how many; as many as the cluster's GPUs allow, or one per machine without GPUs, if None.
        gpus_per_actor: share of GPUs that each actor takes; 1 where the cluster has any if None.
    """

    address: str | None = None
    actors: int | None = None
    gpus_per_actor: float | None = None


class RayEngine:
    """Actors of a Ray cluster."""

    def __init__(self, spec: WorkerSpec, recipe: Recipe, options: RayOptions):
        self.name = "ray"
        self._spec, self._recipe, self._options = spec, recipe, options

    def work(self, queue: JobQueue) -> Generator[Outcome | Loaded | Lost, None, None]:
        """See ``Engine.work``."""
        ray = _import_ray()
        _connect(ray, self._options.address)
        actors: dict[str, Any] = {}
        try:
            actors = self._start(ray)
            awaited = {actor.ping.remote(): name for name, actor in actors.items()}
            yield from _work_with(ray, actors, awaited, queue, self._spec.out is not None)
        finally:
            for actor in actors.values():
                ray.kill(actor)
            ray.shutdown()

    def _start(self, ray: Any) -> dict[str, Any]:
        """Ask the cluster for actors; those that it has no room for yet come later."""
        resources = ray.cluster_resources()
        gpus = resources.get("GPU", 0.0)
        share = self._options.gpus_per_actor
        share = float(gpus > 0) if share is None else share
        machines = sum(node["Alive"] for node in ray.nodes())
        count = self._options.actors or (max(1, int(gpus / share)) if share else machines)
        cores = 1 if share else max(1, int(resources.get("CPU", 1.0)) // count)
        # Ray shows an actor no GPU but its own.
        device = "cuda:0" if share else "cpu"
        spec = replace(self._spec, device=device, threads=None if share else cores)
        make = ray.remote(Actor).options(
            num_cpus=cores, num_gpus=share, max_restarts=-1, max_task_retries=ATTEMPTS - 1
        )
        return {
            str(number): make.remote(spec, self._recipe.to_yaml(), str(number)) for number in range(count)
        }


class Actor:
    """A worker in a process that Ray started, perhaps on another machine.

    A restarted actor has lost its model, so that a job says which one it is for.
    """

    def __init__(self, spec: WorkerSpec, recipe: str, name: str):
        from piebench_eval.runs.worker import Worker

        self._failure: str | None = None
        self._spec = spec
        # Ray would try an actor whose making failed again and again.
        try:
            self._recipe = recipe_for_worker(spec, recipe)
            self._worker = Worker(spec, self._recipe, f"{name}-{socket.gethostname()}-{os.getpid()}")
        except PiebenchError as error:
            self._failure = str(error)
        except RuntimeError as error:
            if not is_device_error(error):
                raise
            self._failure = first_line(error)
        self._folder = tempfile.TemporaryDirectory(prefix="piebench-")

    def ping(self) -> str | None:
        """Be there; tell what is wrong otherwise."""
        return self._failure

    def load(self, model: Model) -> tuple[str | None, dict[str, Any]] | str:
        """Have a model ready: its fingerprint and this worker's machine, or what is wrong."""
        try:
            return self._worker.load(model), self._worker.editor.about
        except PiebenchError as error:
            return str(error)

    def run(self, model: Model, job: Job, pictures: dict[str, bytes] | None) -> list[Outcome] | str:
        """Do a job: what became of its edits, or what is wrong.

        Args:
            model: what it is made with.
            job: the job.
            pictures: the samples' files by id, where this machine does not see them.
        """
        if pictures is not None:
            job = replace(job, samples=tuple(self._unpack(sample, pictures) for sample in job.samples))
        saved = {}
        if _import_ray().get_runtime_context().was_current_actor_reconstructed:
            # This may be the second time that Ray has the job done, after a process that died in the middle.
            saved = saved_edits(self._spec, self._recipe, [job])
        rest = job.without(saved)
        try:
            return [*saved.values(), *(self._worker.run(model, rest) if rest else ())]
        except PiebenchError as error:
            return str(error)
        except SpoiltProcess as error:
            # Ray puts a new process in the place of one that dies, and has it do the job.
            print(error, file=sys.stderr, flush=True)
            os._exit(1)

    def _unpack(self, sample: Any, pictures: dict[str, bytes]) -> Any:
        file = Path(self._folder.name) / sample.id / sample.file.name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pictures[sample.id])
        return replace(sample, file=file)


def _work_with(
    ray: Any, actors: dict[str, Any], awaited: dict[Any, str], queue: JobQueue, shared_files: bool
) -> Generator[Outcome | Loaded | Lost, None, None]:
    """Hand jobs to actors as they become free."""
    models: dict[str, Model] = {}
    orders: dict[str, tuple[Model, Job]] = {}
    idle: set[str] = set()

    def run(name: str) -> None:
        model, job = orders[name]
        pictures = None if shared_files else {sample.id: sample.file.read_bytes() for sample in job.samples}
        awaited[actors[name].run.remote(model, job, pictures)] = name

    while not queue.is_empty:
        for name in sorted(idle):
            if (task := queue.next_job(name)) is None:
                continue
            idle.remove(name)
            orders[name] = task
            if models.get(name) == task[0]:
                run(name)
            else:
                awaited[actors[name].load.remote(task[0])] = name
        ready, _ = ray.wait(list(awaited), num_returns=1, timeout=_SILENCE_SECONDS)
        if not ready:
            names = ", ".join(sorted(awaited.values(), key=int))
            yield Lost(names, f"no news from actors {names}; ray status tells what they wait for", None, True)
            continue
        name = awaited.pop(ready[0])
        try:
            answer = ray.get(ready[0])
        except ray.exceptions.RayActorError as error:
            # Ray has tried again already.
            idle.add(name)
            models.pop(name, None)
            yield Lost(name, f"actor {name}: {error}".strip(), queue.requeue(name, give_up=True), True)
            continue
        if isinstance(answer, str):
            raise PiebenchError(answer)
        if answer is None:
            idle.add(name)
        elif isinstance(answer, tuple):
            models[name] = orders[name][0]
            yield Loaded(name, models[name], *answer)
            run(name)
        else:
            yield from answer
            queue.finish(name)
            idle.add(name)


def _import_ray() -> Any:
    # Ray reports its use over the network unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A cluster that was begun where a token lies asks for it; by itself Ray shows it only to address "auto".
    if (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise PiebenchError("--engine ray: Ray is not installed; pip install 'piebench-eval[ray]'") from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    try:
        _check_address(address)
        ray.init(address=address, logging_level="ERROR", log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise PiebenchError(
            f"--ray-address {address}: no Ray cluster answers ({error}); begin one with ray start --head, or "
            "leave the address out to use this machine; where a cluster wants a token, set RAY_AUTH_TOKEN"
        ) from error


def _check_address(address: str | None) -> None:
    """See whether anybody listens at HOST:PORT: Ray would try for more than a minute."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
