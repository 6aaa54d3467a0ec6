"""Which engine executes a run, on which devices and in which batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.runs.engines.batching import AUTO_BATCH
from piebench_eval.runs.engines.devices import find_devices, split_devices, usable_cores
from piebench_eval.runs.worker import WorkerSpec

if TYPE_CHECKING:
    from piebench_eval.runs.engines.base import Engine
    from piebench_eval.runs.plan import RunPlan, Workers


def settle_devices(workers: Workers) -> list[str]:
    """Where the workers are to work; Ray decides for its own."""
    if workers.engine == "ray":
        return ["auto"]
    return find_devices(workers.devices, in_this_process=workers.count in (None, 1))


def count_workers(workers: Workers) -> int:
    """How many will work at once, as far as that can be told without asking the devices."""
    return (workers.count or 1) * (1 if workers.engine == "ray" else len(split_devices(workers.devices)))


def largest_batch(workers: Workers, devices: list[str]) -> int:
    """Samples per batch at most; on a CPU larger batches gain nothing."""
    on_gpus = workers.engine == "ray" or devices[0].startswith("cuda")
    return workers.batch_size or (AUTO_BATCH if on_gpus else 1)


def choose_engine(plan: RunPlan, session: str, devices: list[str]) -> Engine:
    """The engine that a plan asks for, with a specification for each of its workers."""
    workers = plan.workers
    spec = WorkerSpec(
        device=devices[0],
        threads=None,
        largest_batch=largest_batch(workers, devices),
        batch_grows=workers.batch_size is None,
        allow_pickle=workers.allow_pickle,
        cache=workers.cache,
        compile=workers.compile,
        checkpointing=workers.checkpointing,
        deterministic=workers.deterministic,
        out=plan.out,
        session=session,
        make_editor=workers.make_editor,
    )
    if workers.engine == "ray":
        from piebench_eval.runs.engines.ray import RayEngine, RayOptions

        options = RayOptions(workers.ray_address, workers.count, workers.gpus_per_actor)
        return RayEngine(replace(spec, out=plan.out if workers.shared_files else None), plan.recipe, options)
    if len(devices) == 1 and workers.count in (None, 1):
        from piebench_eval.runs.engines.here import HereEngine

        return HereEngine(spec, plan.recipe)
    from piebench_eval.runs.engines.local import LocalEngine

    specs = [replace(spec, device=device) for _ in range(workers.count or 1) for device in devices]
    # Between them, the workers have as many threads as there are cores.
    threads = max(1, usable_cores() // len(specs))
    return LocalEngine([replace(spec, threads=threads) for spec in specs], plan.recipe)
