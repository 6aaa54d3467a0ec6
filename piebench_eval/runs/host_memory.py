"""How much of this machine's memory a process can still have."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_memory(proc: Path = Path("/proc"), cgroups: Path = _CGROUPS) -> int | None:
    """Bytes of the host's memory that are free or can be freed, as far as a container or batch system allows.

    Args:
        proc: where Linux tells of its memory and of this process.
        cgroups: where it tells of limits (version 2).

    Returns:
        The bytes; all of the machine's where nothing says what is free; None where nothing says that.
    """
    allowed = _left_in_cgroups(proc, cgroups)
    if (free := _field(proc / "meminfo", "MemAvailable:")) is not None:
        return min([free * 1024, *allowed])
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # on Windows
        return None


def _left_in_cgroups(proc: Path, cgroups: Path) -> list[int]:
    """What every group that this process is in may still take, if it has a limit."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    left = []
    for folder in (cgroups / own, *(cgroups / own).parents):
        if not folder.is_relative_to(cgroups):
            break
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit is not None and used is not None:
            # Files that were read long ago count as used, and make room when it is needed.
            left.append(max(0, limit - used + (_field(folder / "memory.stat", "inactive_file") or 0)))
    return left


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _field(file: Path, name: str) -> int | None:
    """The number behind a name at the beginning of a line."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if words[:1] == [name]), None)
