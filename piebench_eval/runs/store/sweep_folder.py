"""The folder of a sweep: ``sweep.yaml`` beside the run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.recipes.sweep import RUN_AXIS, Sweep, SweepRun, folder_name, is_run_name
from piebench_eval.runs.store.paths import SWEEP_FILE, holds_run, holds_sweep

if TYPE_CHECKING:
    from pathlib import Path

CACHE_FOLDER = "cache"
"""Folder of the cache that the runs of a sweep share."""

_REMEDY = "give the same piebench run again after deleting it: finished edits are kept"


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep that a folder holds.

    Raises:
        PiebenchError: the folder holds no sweep, or its file is damaged.
    """
    file = folder / SWEEP_FILE
    if not file.is_file():
        raise PiebenchError(
            f"{folder}: holds no sweep (no {SWEEP_FILE}); make one with piebench run --sweep, or with a "
            "recipe that names runs"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        runs = [SweepRun(**run) for run in content["points"]]
        axes = {str(key): list(values) for key, values in content["axes"].items()}
        whole = all(_fits(run, axes) for run in runs)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise PiebenchError(f"{file}: is damaged ({error}); {_REMEDY}") from None
    if not whole or not runs:
        raise PiebenchError(f"{file}: is damaged (its points do not fit its axes); {_REMEDY}")
    return Sweep(axes, runs)


def _fits(run: SweepRun, axes: dict[str, list[Any]]) -> bool:
    """Whether a run has a value of every axis, and the folder that is named after them: below the sweep's."""
    # A name of digits is a number where --sweep run=... gave it.
    has_safe_name = RUN_AXIS not in run.settings or is_run_name(str(run.settings[RUN_AXIS]))
    return list(run.settings) == list(axes) and has_safe_name and run.folder == folder_name(run.settings)


def check_sweep_folder(sweep: Sweep, folder: Path) -> None:
    """Check that a folder is free for a sweep: empty, or with runs of this sweep only.

    Raises:
        PiebenchError: the folder holds a single run, or runs that are not of this sweep.
    """
    if holds_run(folder):
        raise PiebenchError(f"{folder}: holds a run; choose another --out for a sweep")
    if not holds_sweep(folder):
        return
    kept = {(run.folder, run.recipe_hash) for run in read_sweep(folder).runs}
    if others := kept - {(run.folder, run.recipe_hash) for run in sweep.runs}:
        raise PiebenchError(
            f"{folder}: holds another sweep, with runs that this one lacks or makes by another recipe: "
            f"{', '.join(sorted(name for name, _ in others))}; choose another --out, or sweep these too"
        )


def write_sweep(sweep: Sweep, folder: Path) -> None:
    """Write the sweep's file, after ``check_sweep_folder``.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    content = {"axes": sweep.axes, "points": [vars(run) for run in sweep.runs]}
    write_whole(folder / SWEEP_FILE, yaml.safe_dump(content, sort_keys=False, width=1000).encode())
