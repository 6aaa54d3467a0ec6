"""Find devices without importing PyTorch into a process that only hands out jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.models.location import check_device_name

if TYPE_CHECKING:
    from piebench_eval.runs.machine import MachineOptions

_QUERY = """
import torch
from piebench_eval.models.device import resolve_device
print(torch.cuda.device_count() if torch.cuda.is_available() else 0, resolve_device("auto"))
"""


def split_devices(wanted: str) -> list[str]:
    """Split ``--devices`` into names.

    Raises:
        PiebenchError: a name is not that of a device, or is given twice.

    >>> split_devices("cuda:0, cuda:1")
    ['cuda:0', 'cuda:1']
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if len(names) > 1:  # a single "cuda" is the launcher's choice, see find_devices
        names = ["cuda:0" if name == "cuda" else name for name in names]
    for name in names:
        if name != "all":
            check_device_name(name)
    alone = {"all", "auto"} & set(names)
    if not names or len(set(names)) < len(names) or (alone and len(names) > 1):
        raise PiebenchError(
            f"--devices {wanted}: name each device once, such as cuda:0,cuda:1; or all GPUs: all"
        )
    return names


def find_devices(wanted: str, in_this_process: bool) -> list[str]:
    """Resolve the names of ``--devices``.

    Args:
        wanted: ``all`` for every CUDA device, or the CPU if there is none; ``auto`` for the best device; or
            names separated by commas. In a process of a launcher, ``auto`` and ``cuda`` are the GPU of its
            rank.
        in_this_process: whether this process will use the device itself. If not, PyTorch is queried in
            another process, which saves this one 300 MB and a GPU context.

    Returns:
        Names of devices, CUDA devices with their indices.

    Raises:
        PiebenchError: a name is not that of a device, or is given twice; or ``cuda`` without a CUDA device.
    """
    names = split_devices(wanted)
    if names not in (["auto"], ["all"], ["cuda"]):
        return names
    # Launchers such as torchrun start one process per GPU of a node, and number them.
    rank = os.environ.get("LOCAL_RANK", "") if "WORLD_SIZE" in os.environ else ""
    if names != ["all"] and in_this_process and not rank.isdigit():
        from piebench_eval.models.device import resolve_device

        return [str(resolve_device(names[0]))]
    gpus, best = _query_torch()
    if names == ["all"] and gpus:
        return [f"cuda:{number}" for number in range(gpus)]
    if names == ["cuda"] and not gpus:
        raise PiebenchError("--devices cuda: this machine has 0 CUDA devices")
    return [f"cuda:{int(rank) % gpus}"] if gpus and rank.isdigit() else [best]


def resolve_devices(machine: MachineOptions) -> list[str]:
    """The devices of the workers; Ray assigns its own."""
    if machine.engine == "ray":
        return ["auto"]
    return find_devices(machine.devices, in_this_process=machine.workers in (None, 1))


def count_on_this_machine(machine: MachineOptions, devices: list[str]) -> int:
    """How many workers share this machine, by its devices; where Ray puts its own is not known."""
    return 1 if machine.engine == "ray" else (machine.workers or 1) * len(devices)


def usable_cores() -> int:
    """Number of CPU cores that this process can use; a scheduler can limit it to a part of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _query_torch() -> tuple[int, str]:
    """The number of CUDA devices, and the best device."""
    asked = subprocess.run([sys.executable, "-c", _QUERY], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise PiebenchError(f"--devices: PyTorch cannot list its devices:\n{asked.stderr.strip()}")
    gpus, best = asked.stdout.split()[-2:]
    return int(gpus), best
