"""How much of an inversion's features is kept where: an option of the machine, which changes no picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from piebench_eval.errors import PiebenchError

FeaturePlace = Literal["device", "host", "disk"]
"""Where a feature lies: in the GPU's memory, in the host's, or in a file."""

FEATURE_OPTION = "--feature-memory"
"""The option that sets the limits, for messages."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT])B", re.IGNORECASE)
_UNITS = {"M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class FeatureLimits:
    """How much each place takes, in the order in which they are filled.

    Attributes:
        device: bytes of the GPU's memory; None: no limit here, and among a run's options a share of what is
            free.
        host: bytes of the host's memory, likewise.
        disk: folder for what exceeds both; without one, nothing lies on disk.
    """

    device: int | None = None
    host: int | None = None
    disk: Path | None = None


def parse_feature_limits(text: str | None) -> FeatureLimits:
    """Read the value of ``--feature-memory``; the folder comes last, since its name can have any letter.

    Raises:
        PiebenchError: it is none.

    >>> parse_feature_limits("device=8GB,host=1.5TB")
    FeatureLimits(device=8000000000, host=1500000000000, disk=None)
    """
    sizes, _, folder = (text or "").partition("disk=")
    found: dict[str, int] = {}
    for part in filter(None, sizes.rstrip(",").split(",")):
        place, _, size = part.partition("=")
        match = _SIZE.fullmatch(size.strip())
        if (place := place.strip()) not in ("device", "host") or place in found or match is None:
            raise PiebenchError(
                f"{FEATURE_OPTION} {text}: {part} is none of device=SIZE, host=SIZE and disk=FOLDER; write "
                "any of them once, the folder last, and sizes in MB, GB or TB: device=8GB,host=32GB,"
                "disk=/scratch"
            )
        found[place] = int(float(match[1]) * _UNITS[match[2].upper()])
    if text and "disk=" in text and not folder.strip():
        raise PiebenchError(
            f"{FEATURE_OPTION} {text}: disk names no folder; write disk=/scratch, or leave it out"
        )
    return FeatureLimits(**found, disk=Path(folder.strip()) if folder else None)


def bytes_text(count: int) -> str:
    """Write a number of bytes in MB, or in GB from ten of them on.

    >>> bytes_text(1_234_000), bytes_text(679_477_248), bytes_text(16_300_000_000)
    ('1.2 MB', '679 MB', '16.3 GB')
    """
    if count >= 10**10:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.{int(count < 10**7)}f} MB"
