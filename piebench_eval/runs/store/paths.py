"""Names of the files in a run folder, and what a folder that a user names holds."""

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
"""What may be in a run's folder before its recipe is."""


def holds_run(folder: Path) -> bool:
    """Whether a run has been started in a folder."""
    return (folder / RECIPE_FILE).is_file()


def holds_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / SWEEP_FILE).is_file()


def refuse_sweep(folder: Path, remedy: str | None = None) -> None:
    """Keep what is about one run from a sweep's folder.

    Args:
        folder: what the user names.
        remedy: what to do instead; by default, to look at the sweep or at one of its runs.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    if holds_sweep(folder):
        remedy = remedy or (
            f"piebench sweep {folder} shows its runs together; for one of them, name its own folder"
        )
        raise PiebenchError(f"{folder}: holds a sweep; {remedy}")


def scores_file_of(place: Path) -> Path:
    """The scores file that a user names, by itself or by its run folder.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    if not place.is_dir():
        return place
    refuse_sweep(place)
    return place / SCORES_FILE


def refuse_sweep_out(folder: Path) -> None:
    """Keep a single run out of a sweep's folder.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    refuse_sweep(folder, "go on with its --sweep or --config, or choose another --out")
