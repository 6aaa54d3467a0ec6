"""What determines a run's numbers besides its recipe."""

from __future__ import annotations

import hashlib
import platform
import socket
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval import __version__
from piebench_eval.bench.pie_bench import dataset_fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.recipe import Recipe

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def new_manifest(
    recipe: Recipe,
    data: Path,
    dataset: Sequence[Sample],
    selected: Sequence[Sample],
    device: torch.device,
) -> dict[str, Any]:
    """Describe a run that begins now; its models are added as they are loaded.

    Args:
        recipe: how pictures are edited.
        data: the benchmark folder.
        dataset: all its samples.
        selected: the samples that this run edits.
        device: where the model runs.
    """
    return {
        "recipe_hash": recipe.hash,
        "models": {},
        "plugins": {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in recipe.plugins},
        "data": {
            "folder": str(data.resolve()),
            "fingerprint": dataset_fingerprint(dataset),
            "images": len(dataset),
        },
        "samples": [sample.id for sample in selected],
        "sessions": [
            {
                "started": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": socket.gethostname(),
                "device": describe_device(device),
                "versions": library_versions(),
            }
        ],
    }


def library_versions() -> dict[str, str]:
    """Versions of everything that computes."""
    return {
        "piebench-eval": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def describe_device(device: torch.device) -> str:
    """The device's name, for people."""
    if device.type == "cuda":
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()})"
