"""Devices by name. Nothing here needs diffusers, which takes seconds to import."""

from __future__ import annotations

import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.models.location import check_device_name


def resolve_device(device: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    Returns:
        The device; a CUDA device with its index, without which ``torch.cuda.set_device`` refuses it.

    Raises:
        PiebenchError: a name that is none of these, or a device that this machine does not have.
    """
    check_device_name(device)
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
        device = "cuda"
    resolved = torch.device(device)
    if resolved.type == "cuda":
        if resolved.index is None:
            # Before anything has begun to use CUDA, its current device is the first; asking would begin to.
            current = torch.cuda.current_device() if torch.cuda.is_initialized() else 0
            resolved = torch.device("cuda", current)
        if resolved.index >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise PiebenchError(f"--device {device}: this machine has {count} CUDA devices")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise PiebenchError("--device mps: this machine has no Metal device")
    return resolved
