"""The engine for a Ray cluster: actors hold the model; Ray restarts them and retries their jobs."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.models.device_errors import first_line, is_device_error
from piebench_eval.runs.engines.base import (
    Event,
    ModelLoaded,
    WorkerLost,
    WorkersSilent,
    recipe_for_worker,
    saved_edits,
)
from piebench_eval.runs.queue import MAX_ATTEMPTS
from piebench_eval.runs.worker import DeviceUnusableError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.jobs import Job, ModelSpec
    from piebench_eval.runs.machine import WorkerSpec
    from piebench_eval.runs.queue import JobQueue
    from piebench_eval.runs.store.records import Outcome

_SILENCE_SECONDS = 300
"""After so many seconds without an answer, the user is warned which actors are waited for."""


class RayEngine:
    """Actors of a Ray cluster."""

    name = "ray"

    def __init__(self, spec: WorkerSpec, recipe: Recipe):
        self._spec, self._recipe, self._machine = spec, recipe, spec.machine

    def run(self, queue: JobQueue) -> Generator[Event, None, None]:
        """See ``Engine.run``."""
        ray = _import_ray()
        _connect(ray, self._machine.ray_address)
        actors: dict[str, Any] = {}
        try:
            actors = self._start(ray)
            awaited = {actor.ping.remote(): name for name, actor in actors.items()}
            yield from _run_jobs(ray, actors, awaited, queue, self._spec.out is not None)
        finally:
            for actor in actors.values():
                ray.kill(actor)
            ray.shutdown()

    def _start(self, ray: Any) -> dict[str, Any]:
        """Ask the cluster for actors; it starts those that it has no room for later.

        By default as many as its GPUs allow, or one per machine without GPUs.
        """
        resources = ray.cluster_resources()
        gpus = resources.get("GPU", 0.0)
        share = self._machine.gpus_per_actor
        share = float(gpus > 0) if share is None else share
        nodes = [node for node in ray.nodes() if node["Alive"]]
        count = self._machine.workers or (max(1, int(gpus / share)) if share else len(nodes))
        cores = 1 if share else max(1, int(resources.get("CPU", 1.0)) // count)
        # Ray shows an actor no GPU but its own.
        device = "cuda:0" if share else "cpu"
        spec = replace(
            self._spec,
            device=device,
            threads=None if share else cores,
            workers=min(count, _most_on_a_machine(nodes, share, cores) or count),
            on_device=max(1, int(1 / share)) if share else 1,
        )
        make = ray.remote(Actor).options(
            num_cpus=cores, num_gpus=share, max_restarts=-1, max_task_retries=MAX_ATTEMPTS - 1
        )
        return {
            str(number): make.remote(spec, self._recipe.to_yaml(), str(number)) for number in range(count)
        }


def _most_on_a_machine(nodes: Iterable[Mapping[str, Any]], share: float, cores: int) -> int:
    """How many actors the largest machine has room for; 0 if that is not known."""
    kind, taken = ("GPU", share) if share else ("CPU", cores)
    return max((int(node.get("Resources", {}).get(kind, 0) / taken) for node in nodes), default=0)


class Actor:
    """A worker in a process that Ray started, perhaps on another machine.

    A restarted actor has lost its model, so every job comes with its model.
    """

    def __init__(self, spec: WorkerSpec, recipe: str, name: str):
        from piebench_eval.runs.worker import Worker

        self._failure: str | None = None
        self._spec = spec
        # If the constructor failed, Ray would start the actor again and again.
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
        """Answer once the actor runs: None, or why it cannot work."""
        return self._failure

    def load(self, model: ModelSpec) -> tuple[str | None, dict[str, Any]] | str:
        """Load a model.

        Returns:
            Its fingerprint and the device and machine of this worker; or what is wrong.
        """
        try:
            return self._worker.load(model), self._worker.runner.about
        except PiebenchError as error:
            return str(error)

    def run(
        self,
        model: ModelSpec,
        job: Job,
        images: dict[str, bytes] | None,
        next_samples: tuple[Sample, ...] = (),
    ) -> list[Outcome] | str:
        """Do a job.

        Args:
            model: the model of the job.
            job: the job.
            images: content of the samples' files by id, if this machine does not see them.
            next_samples: samples of the next job, whose images are read meanwhile.

        Returns:
            The outcomes of its edits; or what is wrong.
        """
        if images is not None:
            job = replace(job, samples=tuple(self._unpack(sample, images) for sample in job.samples))
        saved = {}
        if _import_ray().get_runtime_context().was_current_actor_reconstructed:
            # Ray may have retried the job, after a process that died in the middle.
            saved = saved_edits(self._spec, self._recipe, [job])
        rest = job.without(saved)
        try:
            return [*saved.values(), *(self._worker.run(model, rest, next_samples) if rest else ())]
        except PiebenchError as error:
            return str(error)
        except DeviceUnusableError as error:
            # Ray replaces a process that dies, and retries the job there.
            print(error, file=sys.stderr, flush=True)
            os._exit(1)

    def _unpack(self, sample: Any, images: dict[str, bytes]) -> Any:
        file = Path(self._folder.name) / sample.id / sample.file.name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(images[sample.id])
        return replace(sample, file=file)


def _run_jobs(
    ray: Any, actors: dict[str, Any], awaited: dict[Any, str], queue: JobQueue, shared_files: bool
) -> Generator[Event, None, None]:
    """Hand jobs to actors as they become free."""
    models: dict[str, ModelSpec] = {}
    assigned: dict[str, tuple[ModelSpec, Job]] = {}
    idle: set[str] = set()

    def run(name: str) -> None:
        model, job = assigned[name]
        images = None if shared_files else {sample.id: sample.file.read_bytes() for sample in job.samples}
        coming = queue.next_samples(name) if shared_files else ()
        awaited[actors[name].run.remote(model, job, images, coming)] = name

    while not queue.is_empty:
        for name in sorted(idle):
            if (task := queue.next_job(name)) is None:
                continue
            idle.remove(name)
            assigned[name] = task
            if models.get(name) == task[0]:
                run(name)
            else:
                awaited[actors[name].load.remote(task[0])] = name
        ready, _ = ray.wait(list(awaited), num_returns=1, timeout=_SILENCE_SECONDS)
        if not ready:
            names = ", ".join(sorted(awaited.values(), key=int))
            yield WorkersSilent(f"no answer from actors {names}; ray status shows what they wait for")
            continue
        name = awaited.pop(ready[0])
        try:
            answer = ray.get(ready[0])
        except ray.exceptions.RayActorError as error:
            # Ray has retried already.
            idle.add(name)
            models.pop(name, None)
            yield WorkerLost(name, f"actor {name}: {error}".strip(), queue.requeue(name, give_up=True), True)
            continue
        if isinstance(answer, str):
            raise PiebenchError(answer)
        if answer is None:
            idle.add(name)
        elif isinstance(answer, tuple):
            models[name] = assigned[name][0]
            yield ModelLoaded(name, models[name], *answer)
            run(name)
        else:
            yield from answer
            queue.finish(name)
            idle.add(name)


def _import_ray() -> Any:
    # Ray reports its use over the network unless this is set.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A cluster that was started where a token file is asks for it; by default Ray sends it only to "auto".
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
            f"--ray-address {address}: no Ray cluster answers ({error}); start one with ray start --head, or "
            "leave the address out to use this machine; if the cluster needs a token, set RAY_AUTH_TOKEN"
        ) from error


def _check_address(address: str | None) -> None:
    """Check that something listens at HOST:PORT; Ray would try for more than a minute."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
