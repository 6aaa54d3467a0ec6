"""What would end a run after minutes, told before anything heavy is imported: places, devices and sizes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError
from piebench_eval.models.location import picture_sizes
from piebench_eval.runs.engines.devices import split_devices
from piebench_eval.runs.jobs import models_of
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import FILES_OF_A_RUN

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.recipes.recipe import Recipe

_SHOWN = 3


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder that is a file, or that could not be made or written to.

    Raises:
        PiebenchError: it is so.
    """
    if folder.exists() and not folder.is_dir():
        raise PiebenchError(f"{option} {folder}: is a file; name a folder")
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise PiebenchError(f"{option} {folder}: {there} is a file; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PiebenchError(
            f"{option} {folder}: {there} may not be written to; name another place, or allow it"
        )


def check_out(folder: Path) -> None:
    """Refuse a folder that holds other things than a run.

    Raises:
        PiebenchError: it is so, or ``check_folder`` refuses it.
    """
    check_folder("--out", folder)
    if not folder.is_dir() or RunStore.exists(folder):
        return
    others = sorted(place.name for place in folder.iterdir() if not _may_be_there(place))
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise PiebenchError(
            f"--out {folder}: holds other things than a run ({', '.join(others[:_SHOWN])}{more}); name a "
            "folder that is new or empty"
        )


def _may_be_there(place: Path) -> bool:
    """Whether a run's folder may hold this before the run begins: what it makes first, and a job's log."""
    return place.name in FILES_OF_A_RUN or place.name[0] == "." or place.suffix in (".log", ".out", ".err")


def check_devices(wanted: str) -> None:
    """Refuse devices that this machine does not have; PyTorch is asked only where one is named.

    Raises:
        PiebenchError: it is so.
    """
    if named := [device for device in split_devices(wanted) if device not in ("auto", "all", "cpu")]:
        from piebench_eval.models.loading import resolve_device

        for device in named:
            resolve_device(device)


def check_resolutions(recipe: Recipe) -> None:
    """Refuse a resolution that a model cannot work in, as far as its configurations are here.

    Raises:
        PiebenchError: it is no multiple of what the model's latents divide by, or the demo's model is asked
            for pictures of another size than it draws.
    """
    sizes = {model.name: picture_sizes(model.name, model.revision) for model in models_of(recipe)}
    for common in (recipe.combination(*pair).common for pair in recipe.pairs):
        resolution, of_model = common.resolution, sizes.get(common.model)
        if resolution is None or of_model is None:
            continue
        if common.model == DEMO and resolution != of_model.native:
            raise PiebenchError(
                f"resolution {resolution}: the demo's model knows pictures of {of_model.native} pixels "
                "alone; leave resolution out, or give --model"
            )
        if resolution % of_model.multiple:
            raise PiebenchError(
                f"resolution {resolution}: must be a multiple of {of_model.multiple} with this model"
            )
