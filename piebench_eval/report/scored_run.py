"""Read one scored run or folder: scores, images, provenance and cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.report.provenance import costs_of_run, folder_provenance, run_provenance
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import SCORES_FILE
from piebench_eval.scoring.edited_images import edited_images_at, edited_images_of_run
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.score_table import read_run_scores
from piebench_eval.tables.scores import label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.report.provenance import MeasuredCost, Provenance
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.tables.combined import RunScores


@dataclass(frozen=True)
class ScoredRun:
    """A scored run or folder.

    Attributes:
        folder: the run folder, or the folder of the scores file.
        kind: ``the run`` or ``the folder``, for messages.
        scores_file: its scores.
        scores: the content of that file.
        edited_images: its images.
        provenance: how its edits and scores were made.
        costs: mean cost of an edit, by inversion and method; empty for a folder.
    """

    folder: Path
    kind: str
    scores_file: Path
    scores: RunScores
    edited_images: list[EditedImage]
    provenance: Provenance
    costs: Mapping[tuple[str, str], MeasuredCost] = field(default_factory=dict)


def read_scored(path: Path, data: Path | None = None) -> ScoredRun:
    """Read a scored run or folder.

    Args:
        path: a run folder, or a scores file.
        data: the benchmark folder, if it has moved.

    Raises:
        PiebenchError: it is not scored, its scores cannot be used, or its images or its benchmark are gone.
    """
    if not path.is_file():
        return read_scored_run(RunStore.read(path), data)
    if path.name == SCORES_FILE and RunStore.exists(path.parent):
        return read_scored_run(RunStore.read(path.parent), data)
    return _read_folder(path, data)


def read_scored_run(store: RunStore, data: Path | None = None) -> ScoredRun:
    """Read a scored run.

    Args:
        store: the run.
        data: the benchmark folder, if it has moved.

    Raises:
        PiebenchError: it is not scored, its scores cannot be used, or its benchmark is gone.
    """
    file = store.scores_file
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; run piebench score {quote(str(store.folder))} first")
    scores = read_run_scores(store.folder, file, provenance_file(file))
    if label_columns(scores.rows)[:2] != ["method", "inversion"]:
        raise PiebenchError(
            f"{file}: has no columns inversion and method; make it with piebench score "
            f"{quote(str(store.folder))}"
        )
    edited_images, _ = edited_images_of_run(store, data)
    records = store.records()
    return ScoredRun(
        folder=store.folder,
        kind="the run",
        scores_file=file,
        scores=scores,
        edited_images=edited_images,
        provenance=run_provenance(store, records, scores.provenance),
        costs=costs_of_run(records),
    )


def _read_folder(file: Path, data: Path | None) -> ScoredRun:
    """Read a scored folder; the JSON beside its scores names the folders of images and benchmark."""
    scores = read_run_scores(file, file, provenance_file(file))
    provenance = scores.provenance
    if not all(isinstance(provenance.get(field), str) for field in ("images", "name", "data")):
        raise PiebenchError(
            f"{file}: {provenance_file(file).name} beside it does not say where its pictures are; make both "
            "with piebench score --images"
        )
    mask_size = provenance.get("mask_size")
    samples = load_pie_bench(
        data or Path(provenance["data"]), None if mask_size is None else parse_mask_size(str(mask_size))
    )
    images = Path(provenance["images"])
    edited_images, _ = edited_images_at(images, samples, provenance["name"], provenance.get("image_loader"))
    return ScoredRun(
        folder=file.resolve().parent,
        kind=f"{images}",
        scores_file=file,
        scores=scores,
        edited_images=edited_images,
        provenance=folder_provenance(file, provenance),
    )
