"""One scored run or folder: its scores, its pictures, what made them and what they took."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from piebench_eval.data.mask_size import parse_mask_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.report.origin import costs_of_run, origin_of_folder, origin_of_run
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.paths import SCORES_FILE
from piebench_eval.scoring.edited_images import edited_images_at, edited_images_of_run
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables.aggregate import label_columns
from piebench_eval.tables.score_table import read_part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from piebench_eval.report.origin import Cost, Origin
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.tables.combined import Part


@dataclass(frozen=True)
class ScoredPart:
    """A scored run or folder.

    Attributes:
        folder: the run folder, or the folder of the scores file.
        kind: ``the run`` or ``the folder``, for messages.
        scores_file: its scores.
        scores: the same, read.
        edited_images: its pictures.
        origin: what made it.
        costs: what an edit took, by inversion and method; empty for a folder.
    """

    folder: Path
    kind: str
    scores_file: Path
    scores: Part
    edited_images: list[EditedImage]
    origin: Origin
    costs: Mapping[tuple[str, str], Cost] = field(default_factory=dict)


def read_scored_part(place: Path, data: Path | None = None) -> ScoredPart:
    """Read a scored run or folder.

    Args:
        place: a run folder, or a scores file.
        data: the benchmark folder, if it is no longer where it was found.

    Raises:
        PiebenchError: it is not scored, its scores cannot be used, or its pictures or its benchmark are gone.
    """
    if not place.is_file():
        return read_run(RunStore.read(place), data)
    if place.name == SCORES_FILE and RunStore.exists(place.parent):
        return read_run(RunStore.read(place.parent), data)
    return _read_folder(place, data)


def read_run(store: RunStore, data: Path | None = None) -> ScoredPart:
    """Read a scored run.

    Args:
        store: the run.
        data: the benchmark folder, if it is no longer where the run found it.

    Raises:
        PiebenchError: likewise.
    """
    file = store.scores_file
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; run piebench score {quote(str(store.folder))} first")
    scores = read_part(store.folder, file, provenance_file(file))
    if label_columns(scores.rows)[:2] != ["method", "inversion"]:
        raise PiebenchError(
            f"{file}: has no columns inversion and method; make it with piebench score "
            f"{quote(str(store.folder))}"
        )
    edited_images, _ = edited_images_of_run(store, data)
    records = store.records()
    return ScoredPart(
        folder=store.folder,
        kind="the run",
        scores_file=file,
        scores=scores,
        edited_images=edited_images,
        origin=origin_of_run(store, records, scores.about),
        costs=costs_of_run(records),
    )


def _read_folder(file: Path, data: Path | None) -> ScoredPart:
    """Read anybody's scored pictures, which the JSON beside their scores tells the places of."""
    scores = read_part(file, file, provenance_file(file))
    about = scores.about
    if not all(isinstance(about.get(field), str) for field in ("images", "name", "data")):
        raise PiebenchError(
            f"{file}: {provenance_file(file).name} beside it does not say where its pictures are; make both "
            "with piebench score --images"
        )
    mask_size = about.get("mask_size")
    samples = load_pie_bench(
        data or Path(about["data"]), None if mask_size is None else parse_mask_size(str(mask_size))
    )
    images = Path(about["images"])
    edited_images, _ = edited_images_at(images, samples, about["name"], about.get("image_loader"))
    return ScoredPart(
        folder=file.resolve().parent,
        kind=f"{images}",
        scores_file=file,
        scores=scores,
        edited_images=edited_images,
        origin=origin_of_folder(file, about),
    )
