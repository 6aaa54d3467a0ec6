"""Choose the engine, the devices and the batch size of a run by its machine options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.runs.engines.batching import AUTO_BATCH
from piebench_eval.runs.engines.devices import count_on_this_machine, split_devices, usable_cores
from piebench_eval.runs.machine import WorkerSpec

if TYPE_CHECKING:
    from piebench_eval.runs.engines.base import Engine
    from piebench_eval.runs.machine import MachineOptions
    from piebench_eval.runs.plan import RunPlan


def count_workers(machine: MachineOptions) -> int:
    """How many workers there will be, as far as the options say."""
    return (machine.workers or 1) * (1 if machine.engine == "ray" else len(split_devices(machine.devices)))


def largest_batch(machine: MachineOptions, devices: list[str]) -> int:
    """Samples per batch at most; on a CPU larger batches gain nothing."""
    on_gpus = machine.engine == "ray" or devices[0].startswith("cuda")
    return machine.batch_size or (AUTO_BATCH if on_gpus else 1)


def choose_engine(plan: RunPlan, session: str, devices: list[str]) -> Engine:
    """The engine of a plan, with a specification for each of its workers."""
    machine = plan.machine
    largest, workers = largest_batch(machine, devices), count_on_this_machine(machine, devices)
    on_device = machine.workers or 1
    spec = WorkerSpec(
        machine, devices[0], None, largest, plan.out, session, workers, on_device, plan.features
    )
    if machine.engine == "ray":
        from piebench_eval.runs.engines.ray import RayEngine

        return RayEngine(replace(spec, out=plan.out if machine.shared_files else None), plan.recipe)
    if len(devices) == 1 and machine.workers in (None, 1):
        from piebench_eval.runs.engines.in_process import InProcessEngine

        return InProcessEngine(spec, plan.recipe)
    from piebench_eval.runs.engines.multiprocess import MultiprocessEngine

    specs = [replace(spec, device=device) for _ in range(machine.workers or 1) for device in devices]
    # Between them, the workers have as many threads as there are cores.
    threads = max(1, usable_cores() // len(specs))
    return MultiprocessEngine([replace(spec, threads=threads) for spec in specs], plan.recipe)
