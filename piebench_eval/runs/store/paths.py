"""Names of the files in a run folder; which folders hold a run or a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from pathlib import Path

BENCHMARK_FOLDER = "benchmark"
IMAGES_FOLDER = "images"
RECIPE_FILE = "recipe.yaml"
MANIFEST_FILE = "manifest.json"
SCORES_FILE = "scores.csv"
TABLE_FILE = "table.csv"
SWEEP_FILE = "sweep.yaml"
"""In a folder whose subfolders are runs, see ``runs.store.sweep_folder``."""

FILES_OF_A_RUN = (MANIFEST_FILE, BENCHMARK_FOLDER, "cache")
"""Files that a run folder can have before its recipe."""


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / RECIPE_FILE).is_file()


def holds_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / SWEEP_FILE).is_file()


def refuse_sweep(folder: Path, remedy: str | None = None) -> None:
    """Check that a folder does not hold a sweep, for commands that need a single run.

    Args:
        folder: the folder that the user names.
        remedy: the remedy for the message; by default to name the sweep's command, or one of its runs.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    if holds_sweep(folder):
        remedy = remedy or (
            f"piebench sweep {folder} shows its runs together; for one of them, name its own folder"
        )
        raise PiebenchError(f"{folder}: holds a sweep; {remedy}")


def require_run(folder: Path) -> None:
    """Check that a folder holds a run.

    Raises:
        PiebenchError: it holds none, or a sweep.
    """
    refuse_sweep(folder)
    if not holds_run(folder):
        raise PiebenchError(
            f"{folder} is not a run folder (no {RECIPE_FILE}); make one with piebench run --out"
        )


def scores_file_of(place: Path) -> Path:
    """The scores file at a path: the file itself, or that of a run folder.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    if not place.is_dir():
        return place
    refuse_sweep(place)
    return place / SCORES_FILE


def refuse_sweep_out(folder: Path) -> None:
    """Check that the folder of a new run does not hold a sweep.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    refuse_sweep(folder, "resume it with its --sweep or --config, or choose another --out")
