"""Scoring pictures block by block: only what is not known yet, decoded while the networks work."""

from __future__ import annotations

import json
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from piebench_eval.data.pie_bench import dataset_fingerprint
from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.runs.store.manifest import library_versions
from piebench_eval.scoring.cache import Score, cell_key, file_state, scoring_versions
from piebench_eval.scoring.images import read_edit, source_image_of, source_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.edits import SourceImage
    from piebench_eval.metrics.networks.names import MetricModels
    from piebench_eval.metrics.networks.suite import Suite
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.edited_images import EditedImage

_BLOCKS_AHEAD = 2
"""Blocks that are decoded while one is scored."""

_BATCH, _BATCH_ELSEWHERE = {"cpu": 4, "cuda": 32}, 8
"""Pictures that a network is given at a time, by kind of device."""


@dataclass(frozen=True)
class Scoring:
    """How pictures are scored.

    Attributes:
        models: the networks.
        protocol_name: ``paper``, ``modern`` or a file.
        protocol: its rules.
        columns: names of metrics.
        precision: ``fp32`` or ``bf16``, of the networks' insides.
        resize: bring edits of other sizes to their source's.
        allow_pickle: accept networks in pickle files, see ``piebench_eval.models.weights``.
    """

    models: MetricModels
    protocol_name: str = "paper"
    protocol: Protocol = PAPER
    columns: tuple[str, ...] = COLUMNS
    precision: str = "fp32"
    resize: bool = False
    allow_pickle: bool = False

    @cached_property
    def scores(self) -> list[Score]:
        """The columns under the protocol."""
        return [Score(column, self.protocol, self.models, self.precision) for column in self.columns]

    def suite(self, device: str, batch: int | None = None) -> Suite:
        """The networks, not loaded yet.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
            batch: how many pictures they are given at a time; None for what suits the device.

        Raises:
            PiebenchError: this machine has no such device.
        """
        from piebench_eval.metrics.networks.suite import Suite
        from piebench_eval.models.loading import resolve_device

        place = resolve_device(device)
        batch = batch or _BATCH.get(place.type, _BATCH_ELSEWHERE)
        return Suite(self.models, place, batch, self.precision, self.allow_pickle)

    def describe(self) -> dict[str, Any]:
        """As the JSON file beside the scores has it."""
        roles = {role for column in self.columns for role in METRICS.get(column).networks}
        models = replace(self.models, clip=self.protocol.clip.network or self.models.clip)
        return {
            "protocol": {"name": self.protocol_name, "rules": self.protocol.model_dump()},
            "precision": self.precision,
            "networks": models.to_dict(roles),
        }


@dataclass(frozen=True)
class Work:
    """What is asked about an edited image.

    Attributes:
        edited_image: the edit.
        scores: the columns.
        keys: what their values are kept under.
        states: of the files that it is about, when they were hashed for the keys.
    """

    edited_image: EditedImage
    scores: Sequence[Score]
    keys: tuple[str, ...]
    states: dict[Path, tuple[int, ...]]

    @property
    def ideal(self) -> Path | None:
        """The ideal edit, if one of the columns needs it."""
        is_needed = any(METRICS.get(score.column).needs_ideal for score in self.scores)
        return self.edited_image.ideal if is_needed else None

    def missing(self, cells: ScoreCache) -> Work:
        """What of it is not known yet."""
        left = [(score, key) for score, key in zip(self.scores, self.keys, strict=True) if key not in cells]
        return replace(self, scores=[score for score, _ in left], keys=tuple(key for _, key in left))


def work_on(
    edited_images: Iterable[EditedImage], scores: Sequence[Score], cells: ScoreCache
) -> Iterator[Work]:
    """Ask about each edited image.

    Raises:
        PiebenchError: a picture is gone, or a column needs an ideal edit and there is none.
    """
    with_ideal = [METRICS.get(score.column).needs_ideal for score in scores]

    @lru_cache(maxsize=8)
    def fingerprint(sample: Sample) -> tuple[tuple[int, ...], str]:
        return file_state(sample.file), dataset_fingerprint([sample])

    for edited_image in edited_images:
        files = [edited_image.file, *([_ideal_edit(edited_image, scores)] if any(with_ideal) else [])]
        try:
            states = {file: file_state(file) for file in files}
            picture, ideal = cells.digest(files[0]), cells.digest(files[-1])
            states[edited_image.sample.file], sample = fingerprint(edited_image.sample)
        except OSError as error:
            raise PiebenchError(f"{error.filename}: cannot be read ({error.strerror}); restore it") from None
        keys = tuple(
            cell_key(score, f"{sample}{ideal}" if needs_ideal else sample, picture, edited_image.geometry)
            for score, needs_ideal in zip(scores, with_ideal, strict=True)
        )
        yield Work(edited_image, scores, keys, states)


def _ideal_edit(edited_image: EditedImage, scores: Sequence[Score]) -> Path:
    if edited_image.ideal is None:
        column = next(score.column for score in scores if METRICS.get(score.column).needs_ideal)
        raise PiebenchError(
            f"--metrics {column}: holds edits against ideal edits, which only a drawn benchmark has (see "
            "piebench data demo); leave it out"
        )
    return edited_image.ideal


def do_work(
    work: Iterable[Work], suite: Suite, cells: ScoreCache, resize: bool = False, low_memory: bool = False
) -> Iterator[int]:
    """Compute what is not known yet, and keep it.

    Args:
        work: from ``work_on``, the edits of one sample next to each other.
        suite: the networks; its batch is also how many edits a block has at least, as long as there are any.
        cells: where the values go.
        resize: bring edits of other sizes to their source's.
        low_memory: forget what a column shared before the next one, for many protocols at once.

    Yields:
        How many edited images were finished since the last time.

    Raises:
        PiebenchError: a network cannot be loaded, a picture cannot be read or has another size.
    """
    left = [item for item in (item.missing(cells) for item in work) if item.scores]
    for score in {score.fingerprint: score for item in left for score in item.scores}.values():
        suite.load(METRICS.get(score.column).networks, score.protocol)
    pool = ThreadPoolExecutor()
    waiting: deque[list[Future[list[_Decoded]]]] = deque()
    try:
        for block in [*_blocks(left, suite.batch), *[None] * _BLOCKS_AHEAD]:
            waiting.append([pool.submit(_decode, of_sample, resize) for of_sample in block or ()])
            if len(waiting) > _BLOCKS_AHEAD and (futures := waiting.popleft()):
                yield _score_block(
                    [item for future in futures for item in future.result()], suite, cells, low_memory
                )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _blocks(work: Iterable[Work], size: int) -> Iterator[list[list[Work]]]:
    """Whole samples together, until there are enough edits."""
    block: list[list[Work]] = []
    for _, of_sample in groupby(work, key=lambda item: item.edited_image.sample.id):
        block.append(list(of_sample))
        if sum(map(len, block)) >= size:
            yield block
            block = []
    if block:
        yield block


@dataclass(frozen=True)
class _Decoded:
    """An edited image, and what it is compared with."""

    work: Work
    saved: NDArray[np.uint8]
    source: SourceImage


def _decode(of_sample: Sequence[Work], resize: bool) -> list[_Decoded]:
    ideal = next((item.ideal for item in of_sample if item.ideal is not None), None)
    sample = of_sample[0].edited_image.sample
    source = cache(lambda resolution, loader: source_image_of(sample, resolution, loader, ideal))
    decoded = []
    for item in of_sample:
        saved = read_edit(item.edited_image, resize)
        decoded.append(_Decoded(item, saved, source(*source_view(item.edited_image, saved))))
        for file, state in item.states.items():
            if file_state(file) != state:
                raise PiebenchError(f"{file}: was changed while it was scored; run the same command again")
    return decoded


def _score_block(block: Sequence[_Decoded], suite: Suite, cells: ScoreCache, low_memory: bool) -> int:
    def size(item: _Decoded) -> tuple[int, ...]:
        return item.source.image.shape

    import torch

    values: list[tuple[str, float]] = []
    try:
        for _, same_size in groupby(sorted(block, key=size), key=size):
            values += _values(list(same_size), suite, low_memory)
    except torch.OutOfMemoryError as error:
        raise PiebenchError(
            f"the memory of {suite.device} is full; pass a --batch-size below {suite.batch}, or --device cpu"
        ) from error
    cells.add(values)
    return len(block)


def _values(block: Sequence[_Decoded], suite: Suite, low_memory: bool) -> Iterator[tuple[str, float]]:
    """The values of edits of one size, with their keys."""
    from piebench_eval.metrics.edits import Edits
    from piebench_eval.metrics.score import score_edits

    sources = list(dict.fromkeys(item.source for item in block))
    owners = [sources.index(item.source) for item in block]
    keys: dict[str, list[str | None]] = {}
    wanted: dict[str, Score] = {}
    for position, item in enumerate(block):
        for score, key in zip(item.work.scores, item.work.keys, strict=True):
            wanted[score.fingerprint] = score
            keys.setdefault(score.fingerprint, [None] * len(block))[position] = key
    edits = Edits(suite, PAPER, sources, owners, [item.saved for item in block], {})
    column = None
    for fingerprint, score in wanted.items():
        if low_memory and score.column != column:
            edits.memo.clear()
        column = score.column
        values = score_edits(edits.under(score.protocol), column)
        yield from ((key, value) for key, value in zip(keys[fingerprint], values, strict=True) if key)


def score_rows(work: Iterable[Work], cells: ScoreCache) -> list[dict[str, Any]]:
    """A row of the scores file per edited image: id, labels, type, and a value per column."""
    return [
        {
            "id": item.edited_image.sample.id,
            **item.edited_image.labels,
            "type": item.edited_image.sample.type_id,
            **{score.column: cells[key] for score, key in zip(item.scores, item.keys, strict=True)},
        }
        for item in work
    ]


def write_scores(
    file: Path, rows: Sequence[dict[str, Any]], scoring: Scoring, provenance: dict[str, Any]
) -> None:
    """Write scores.csv and, beside it, a JSON file that says how it was made.

    Args:
        file: the scores file.
        rows: from ``score_rows``.
        scoring: how they were scored.
        provenance: what the scored pictures are.
    """
    import pandas as pd

    frame = pd.DataFrame(rows)
    labels = [column for column in frame.columns if column not in scoring.columns]
    write_whole(file, frame[[*labels, *scoring.columns]].to_csv(index=False, na_rep="nan").encode())
    about = {**scoring.describe(), **provenance, "versions": {**library_versions(), **scoring_versions()}}
    write_whole(provenance_file(file), json.dumps(about, indent=1).encode())


def provenance_file(scores_file: Path) -> Path:
    """The JSON file that belongs to a scores file."""
    return scores_file.with_suffix(".json")


def cells_file(scores_file: Path) -> Path:
    """The log of every computed value that belongs to a scores file."""
    return scores_file.with_suffix(".cells.jsonl")
