"""Scoring a run's pictures, or anybody's, into scores.csv."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from piebench_eval.bench.images import load_image, load_mask
from piebench_eval.bench.pie_bench import IMAGES_FOLDER, dataset_fingerprint
from piebench_eval.demo.benchmark import IDEAL_FOLDER
from piebench_eval.errors import PiebenchError
from piebench_eval.files import append_line, read_json_lines, write_whole
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.runs.dataset import dataset_of_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.bench.sample import Sample
    from piebench_eval.metrics.networks import MetricModels
    from piebench_eval.runs.store import RunStore

_REFERENCE_ROWS = {"oracle": IDEAL_FOLDER, "source-copy": IMAGES_FOLDER}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Candidate:
    """An edited picture to score.

    Attributes:
        sample: the sample that it is an edit of.
        labels: its columns beside id and type: inversion and method, or name.
        file: the picture.
        follows_edit: the source is brought to the edit's resolution (a run's own pictures); otherwise the
            edit must have the source's size.
    """

    sample: Sample
    labels: dict[str, str]
    file: Path
    follows_edit: bool


def run_candidates(store: RunStore, data: Path | None = None) -> tuple[list[Candidate], list[str]]:
    """A run's pictures, sample by sample, and what is missing of them.

    A benchmark that knows its ideal edits (the demo's) adds two rows that no edit made: ``oracle``, the
    ideal edits, and ``source-copy``, the sources untouched.

    Args:
        store: the run.
        data: the benchmark folder, if it is no longer where the run found it.

    Raises:
        PiebenchError: the benchmark is gone or is not the one that was edited.
    """
    folder, samples = dataset_of_run(store, data)
    done = store.scan(samples).done
    candidates, missing = [], []
    for sample in samples:
        for inversion, method in store.recipe.pairs:
            file = store.image_file(inversion, method, sample)
            labels = {"inversion": inversion, "method": method}
            if (inversion, method, sample.id) in done:
                candidates.append(Candidate(sample, labels, file, follows_edit=True))
            else:
                missing.append(f"{inversion}+{method}: {file}")
        candidates += _reference_candidates(folder, sample)
    return candidates, missing


def _reference_candidates(folder: Path, sample: Sample) -> list[Candidate]:
    if not (folder / IDEAL_FOLDER / sample.image_path).is_file():
        return []
    return [
        Candidate(sample, {"inversion": "", "method": name}, folder / pictures / sample.image_path, False)
        for name, pictures in _REFERENCE_ROWS.items()
    ]


def folder_candidates(
    images: Path, samples: Sequence[Sample], name: str
) -> tuple[list[Candidate], list[str]]:
    """Anybody's pictures in the official layout, with or without ``annotation_images/``, and what is missing.

    Raises:
        PiebenchError: the folder does not exist.
    """
    if not images.is_dir():
        raise PiebenchError(f"--images {images}: no such folder")
    candidates, missing = [], []
    for sample in samples:
        path = Path(sample.image_path)
        places = [
            images / below / path.with_suffix(suffix)
            for below in (IMAGES_FOLDER, ".")
            for suffix in dict.fromkeys([path.suffix, *_SUFFIXES])
        ]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            missing.append(f"{sample.id}: {images / path}")
        else:
            candidates.append(Candidate(sample, {"name": name}, file, follows_edit=False))
    return candidates, missing


class ScoreJournal:
    """Rows scored so far, kept beside the scores file until it is complete: an interrupt loses nothing.

    A row is used again only for the same pixels, sample and networks.
    """

    def __init__(self, scores_file: Path, models: MetricModels):
        self._file = scores_file.with_name(f".{scores_file.name}.journal")
        self._models = models.to_dict()
        self._rows: dict[str, dict[str, Any]] = {}
        if self._file.is_file():
            entries, _ = read_json_lines(self._file, {"key", "scores"})
            self._rows = {entry["key"]: entry["scores"] for entry in entries}

    def key(self, candidate: Candidate) -> str:
        """What a row depends on, hashed."""
        parts = [dataset_fingerprint([candidate.sample]), candidate.labels, self._models]
        digest = hashlib.sha256(json.dumps(parts).encode())
        digest.update(candidate.file.read_bytes())
        return digest.hexdigest()

    def get(self, key: str) -> dict[str, float] | None:
        """The scores kept under a key."""
        return self._rows.get(key)

    def add(self, key: str, scores: dict[str, float]) -> None:
        """Keep scores, on disk before this returns."""
        append_line(self._file, json.dumps({"key": key, "scores": scores}))

    def close(self) -> None:
        """Remove the journal: the scores file is complete."""
        self._file.unlink(missing_ok=True)


def score_candidates(
    candidates: Sequence[Candidate], models: MetricModels, device: str, journal: ScoreJournal
) -> Iterator[dict[str, Any]]:
    """Score pictures one by one; what the edits of a sample share is computed once.

    Args:
        candidates: the pictures, those of one sample next to each other.
        models: the networks of the metrics.
        device: where they run.
        journal: rows that an interrupted session left.

    Yields:
        A row of the scores file per candidate.

    Raises:
        PiebenchError: a network cannot be loaded, a picture cannot be read or has another size.
    """
    from piebench_eval.backbone.loading import resolve_device
    from piebench_eval.metrics.suite import SourceFeatures, Suite, score_edit

    suite: Suite | None = None
    shared: tuple[tuple[str, int], SourceFeatures] | None = None
    for candidate in candidates:
        sample = candidate.sample
        key = journal.key(candidate)
        scores = journal.get(key)
        if scores is None:
            edited = read_edit(candidate)
            suite = suite or Suite(models, resolve_device(device))
            side = edited.shape[0]
            if shared is None or shared[0] != (sample.id, side):
                image, mask = load_image(sample.file, side), load_mask(sample, side)
                features = SourceFeatures(suite, image, mask, sample.source_prompt, sample.target_prompt)
                shared = (sample.id, side), features
            scores = score_edit(shared[1], edited)
            journal.add(key, scores)
        yield {"id": sample.id, **candidate.labels, "type": sample.type_id, **scores}


def read_edit(candidate: Candidate) -> NDArray[np.uint8]:
    """Read an edited picture; of one that is not square, the bottom right corner of the source's size.

    The reference saves strips of four panels, the edit last, and its evaluator cuts them that way.

    Raises:
        PiebenchError: the picture cannot be read, or has another size than its source.
    """
    try:
        with Image.open(candidate.file) as opened:
            edited = np.array(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise PiebenchError(f"{candidate.file}: cannot be read ({error}); replace the file") from None
    if candidate.follows_edit:
        return edited
    with Image.open(candidate.sample.file) as source:
        side = min(source.size)
    if edited.shape[0] != edited.shape[1]:
        edited = edited[-side:, -side:]
    if edited.shape[:2] != (side, side):
        raise PiebenchError(
            f"{candidate.file}: is {edited.shape[1]}x{edited.shape[0]}, but the source of id "
            f"{candidate.sample.id} is {side}x{side}; save the edit in the source's size"
        )
    return edited


def write_scores(
    file: Path, rows: Sequence[dict[str, Any]], models: MetricModels, provenance: dict[str, Any]
) -> None:
    """Write scores.csv and, beside it, a JSON file that says how it was made.

    Args:
        file: the scores file.
        rows: from ``score_candidates``.
        models: the networks of the metrics.
        provenance: what the scored pictures are.
    """
    import pandas as pd

    from piebench_eval.runs.manifest import library_versions

    frame = pd.DataFrame(rows)
    labels = [column for column in frame.columns if column not in COLUMNS]
    write_whole(file, frame[[*labels, *COLUMNS]].to_csv(index=False, na_rep="nan").encode())
    about = {"protocol": "paper", "networks": models.to_dict(), **provenance, "versions": library_versions()}
    write_whole(provenance_file(file), json.dumps(about, indent=1).encode())


def provenance_file(scores_file: Path) -> Path:
    """The JSON file that belongs to a scores file."""
    return scores_file.with_suffix(".json")
