"""What determines the numbers of a run besides its recipe: data, plugins, versions, devices."""

from __future__ import annotations

import hashlib
import platform
import socket
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import size_text
from piebench_eval.data.pie_bench import dataset_fingerprint
from piebench_eval.data.remarks import count_remarks
from piebench_eval.editors.described import described_editors
from piebench_eval.editors.function import functions_of
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.runs.shard import Shard

_LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "pillow")


def describe_run(recipe: Recipe, dataset: Sequence[Sample]) -> dict[str, Any]:
    """The content of a new manifest: what must not change while a run lasts. Session logs add the models.

    Args:
        recipe: the recipe of the run.
        dataset: all samples of the benchmark.
    """
    plugins = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in recipe.plugins}
    combinations = {name: recipe.combination("", name) for name in recipe.editors}
    editors = {name: (each.editor_settings, each.common) for name, each in combinations.items()}
    return {
        "recipe_hash": recipe.hash,
        "plugins": {**plugins, **functions_of(recipe.editors)},
        **({"editors": described_editors(editors)} if editors else {}),
        "data": {"fingerprint": dataset_fingerprint(dataset), "images": len(dataset)},
    }


def describe_session(
    data: Path,
    selected: Sequence[Sample],
    engine: str,
    shard: Shard,
    mask_size: Size | None = None,
    subset: str | None = None,
) -> dict[str, Any]:
    """The content of a new session log.

    Args:
        data: the benchmark folder.
        selected: the selected samples, those of other shards included.
        engine: name of the engine.
        shard: the part of this session.
        mask_size: the size that the masks are made for, if it is not the images' own.
        subset: name of the fixed subset that the samples are, if they are one.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "engine": engine,
        "shard": str(shard),
        "shard_block": shard.block_size(len(selected)),
        "data_folder": str(data.resolve()),
        "remarks": count_remarks(selected),
        "mask_size": None if mask_size is None else size_text(mask_size),
        "samples": [sample.id for sample in selected],
        "subset": subset,
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute."""
    return {
        "piebench-eval": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def describe_device(device: torch.device) -> str:
    """The name of a device, for messages and records."""
    return f"{device} ({processor_name(device) if device.type == 'cuda' else platform.machine()})"


def processor_name(device: torch.device) -> str:
    """The name of the processor; another processor gives other last digits."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    # Two processors of one architecture can have vectors of different width.
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
