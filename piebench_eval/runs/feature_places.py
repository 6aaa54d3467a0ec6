"""How much of what is kept of inversions lies where: on a worker's GPU, in the host's memory, on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.feature_limits import FeatureLimits
from piebench_eval.runs.engines.devices import count_on_this_machine, resolve_devices
from piebench_eval.runs.feature_room import FeatureRoom
from piebench_eval.runs.host_memory import available_memory

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.runs.machine import MachineOptions

DEVICE_SHARE, HOST_SHARE = 0.25, 0.5
"""Of free memory, what features have by default; what is left of a GPU's is for larger batches."""


def worker_limits(asked: FeatureLimits, device: Any, workers: int, on_device: int) -> FeatureLimits:
    """The limits of one worker: its part of what is asked for, or of a share of what is free now.

    Args:
        asked: a run's option.
        device: the worker's ``torch.device``.
        workers: how many share the machine.
        on_device: how many share the device.
    """
    on_gpu = 0
    if device.type == "cuda":
        on_gpu = int(DEVICE_SHARE * _free(device)) if asked.device is None else asked.device
    host = asked.host
    if host is None and (available := available_memory()) is not None:
        host = int(HOST_SHARE * available)
    return FeatureLimits(on_gpu // on_device, None if host is None else host // workers, asked.disk)


def room_here(machine: MachineOptions) -> FeatureRoom | None:
    """What a worker of a run has on this machine before any model is loaded; None on a Ray cluster's.

    How much of a GPU is free is asked for by a process that uses it itself; for others it counts as none,
    unless the option says how much.
    """
    if machine.engine == "ray":
        return None
    import torch

    devices, asked = resolve_devices(machine), machine.feature_memory
    workers = count_on_this_machine(machine, devices)
    if devices[0].startswith("cuda") and asked.device is None and workers > 1:
        asked = FeatureLimits(0, asked.host, asked.disk)
    limits = worker_limits(asked, torch.device(devices[0]), workers, machine.workers or 1)
    return room_within(limits, workers)


def room_within(limits: FeatureLimits, workers: int) -> FeatureRoom:
    """The room that a worker's limits give it, with its part of what is free on disk."""
    on_disk = 0 if limits.disk is None else _free_on_disk(limits.disk) // workers
    return FeatureRoom(limits.device or 0, limits.host, on_disk)


def _free(device: Any) -> int:
    """Bytes of a GPU's memory that this process can still use."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _free_on_disk(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
