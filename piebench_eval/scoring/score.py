"""Score edited images block by block, computing only what the cache does not have.

A block is loaded by ``_load_with_sources``: source and mask are brought to the pixels of each edit. It is
scored by ``_scores_of_one_size``: the metrics get images and masks in a ``ScoringBatch``. The next blocks are
loaded while the networks score one.
"""

from __future__ import annotations

import hashlib
import traceback
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from piebench_eval.data.pie_bench import dataset_fingerprint
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import COLUMNS
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.scoring.cache import ScoreSpec, cache_key, content_digest, file_state
from piebench_eval.scoring.images import load_edit, load_source

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.networks.metric_models import MetricModels
    from piebench_eval.metrics.networks.metric_networks import MetricNetworks
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.metrics.scoring_batch import ScoringBatch, SourceImage
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.edited_images import EditedImage

_BLOCKS_AHEAD = 2
"""Blocks that are loaded while one is scored."""

_BATCH_SIZES, _OTHER_BATCH_SIZE = {"cpu": 4, "cuda": 32}, 8
"""Images per forward pass of a network, by kind of device."""


@dataclass(frozen=True)
class Scoring:
    """Metrics, protocol, networks and options of a scoring.

    Attributes:
        models: the networks.
        protocol_name: ``paper``, ``modern`` or a file.
        protocol: its rules.
        columns: names of metrics.
        precision: ``fp32`` or ``bf16``, which the networks compute in.
        resize: resize edits of other sizes to their source's.
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
    def specs(self) -> list[ScoreSpec]:
        """The columns under the protocol."""
        return [ScoreSpec(column, self.protocol, self.models, self.precision) for column in self.columns]

    def networks(self, device: str, batch_size: int | None = None) -> MetricNetworks:
        """The networks, not loaded yet.

        Args:
            device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
            batch_size: images per forward pass; None for what suits the device.

        Raises:
            PiebenchError: this machine has no such device.
        """
        from piebench_eval.metrics.networks.metric_networks import MetricNetworks
        from piebench_eval.models.device import resolve_device

        place = resolve_device(device)
        batch_size = batch_size or _BATCH_SIZES.get(place.type, _OTHER_BATCH_SIZE)
        return MetricNetworks(self.models, place, batch_size, self.precision, self.allow_pickle)

    def describe(self) -> dict[str, Any]:
        """Protocol, precision and networks, for the JSON file beside the scores."""
        roles = {
            role for column in self.columns for role in METRICS.get(column).networks_under(self.protocol)
        }
        models = replace(self.models, clip=self.protocol.clip.network or self.models.clip)
        return {
            "protocol": {"name": self.protocol_name, "rules": self.protocol.model_dump()},
            "precision": self.precision,
            "networks": models.to_dict(roles),
        }


@dataclass(frozen=True)
class ScoringJob:
    """The scores that are wanted of one edited image.

    Attributes:
        edited_image: the edit.
        specs: the columns, each with how it is computed.
        keys: their keys in the cache.
        file_states: states of the image files when they were hashed for the keys.
    """

    edited_image: EditedImage
    specs: Sequence[ScoreSpec]
    keys: tuple[str, ...]
    file_states: dict[Path, tuple[int, ...]]

    @property
    def ideal(self) -> Path | None:
        """File of the ideal edit, if one of the columns needs it."""
        is_needed = any(METRICS.get(spec.column).needs_ideal for spec in self.specs)
        return self.edited_image.ideal if is_needed else None

    def without(self, known: Container[str]) -> ScoringJob:
        """The same job without the scores whose keys are known."""
        left = [(spec, key) for spec, key in zip(self.specs, self.keys, strict=True) if key not in known]
        return replace(self, specs=[spec for spec, _ in left], keys=tuple(key for _, key in left))


def scoring_jobs(edited_images: Iterable[EditedImage], specs: Sequence[ScoreSpec]) -> Iterator[ScoringJob]:
    """Yield a job per edited image, with the cache keys of its scores.

    Raises:
        PiebenchError: an image cannot be read, or a column needs an ideal edit and there is none.
    """
    with_ideal = [METRICS.get(spec.column).needs_ideal for spec in specs]

    @lru_cache(maxsize=8)
    def fingerprint(sample: Sample) -> tuple[tuple[int, ...], str]:
        return file_state(sample.file), dataset_fingerprint([sample])

    for edited_image in edited_images:
        files = [edited_image.file, *([_ideal_edit(edited_image, specs)] if any(with_ideal) else [])]
        try:
            file_states = {file: file_state(file) for file in files}
            image, ideal = content_digest(files[0]), content_digest(files[-1])
            file_states[edited_image.sample.file], sample = fingerprint(edited_image.sample)
        except OSError as error:
            raise PiebenchError(f"{error.filename}: cannot be read ({error.strerror}); restore it") from None
        keys = tuple(
            cache_key(
                spec,
                f"{sample}{ideal if needs_ideal else ''}{_instruction(edited_image.sample, spec)}",
                image,
                edited_image.geometry,
            )
            for spec, needs_ideal in zip(specs, with_ideal, strict=True)
        )
        yield ScoringJob(edited_image, specs, keys, file_states)


def _instruction(sample: Sample, spec: ScoreSpec) -> str:
    """Hash of the sample's instruction, which its fingerprint leaves out, for a score that depends on it."""
    return hashlib.sha256(sample.instruction.encode()).hexdigest() if spec.reads_instruction else ""


def _ideal_edit(edited_image: EditedImage, specs: Sequence[ScoreSpec]) -> Path:
    if edited_image.ideal is None:
        column = next(spec.column for spec in specs if METRICS.get(spec.column).needs_ideal)
        raise PiebenchError(
            f"--metrics {column}: compares edits with ideal edits, which only a drawn benchmark has (see "
            "piebench data demo); leave it out"
        )
    return edited_image.ideal


def known_scores(jobs: Iterable[ScoringJob], score_cache: ScoreCache) -> dict[str, float]:
    """The scores of jobs that the cache has, by key; it is asked once for all of them."""
    return score_cache.known([key for job in jobs for key in job.keys])


def missing_scores(jobs: Iterable[ScoringJob], score_cache: ScoreCache) -> list[ScoringJob]:
    """The jobs of which the cache lacks scores, each with these alone."""
    jobs = list(jobs)
    known = known_scores(jobs, score_cache)
    return [left for job in jobs if (left := job.without(known)).specs]


def compute_scores(
    jobs: Iterable[ScoringJob],
    networks: MetricNetworks,
    score_cache: ScoreCache,
    resize: bool = False,
    low_memory: bool = False,
) -> Iterator[int]:
    """Compute the scores that the cache does not have, and put them there block by block.

    Args:
        jobs: from ``scoring_jobs``, the edits of one sample next to each other.
        networks: the networks; a block has at least as many edits as their batch size, but for the last one.
        score_cache: the cache.
        resize: resize edits of other sizes to their source's.
        low_memory: free the intermediate results of a column before the next one; for many protocols at once.

    Yields:
        How many edited images were finished since the last time.

    Raises:
        PiebenchError: a network cannot be loaded, an image cannot be read or has another size.
    """
    left = missing_scores(jobs, score_cache)
    for spec in {spec.fingerprint: spec for job in left for spec in job.specs}.values():
        networks.load(METRICS.get(spec.column).networks_under(spec.protocol), spec.protocol)
    pool = ThreadPoolExecutor()
    waiting: deque[list[Future[list[_EditWithSource]]]] = deque()
    try:
        for block in [*_blocks(left, networks.batch_size), *[None] * _BLOCKS_AHEAD]:
            waiting.append([pool.submit(_load_with_sources, of_sample, resize) for of_sample in block or ()])
            if len(waiting) > _BLOCKS_AHEAD and (futures := waiting.popleft()):
                yield _score_block(
                    [edit for future in futures for edit in future.result()],
                    networks,
                    score_cache,
                    low_memory,
                )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _blocks(jobs: Iterable[ScoringJob], size: int) -> Iterator[list[list[ScoringJob]]]:
    """Group jobs into blocks of whole samples with at least ``size`` edits."""
    block: list[list[ScoringJob]] = []
    for _, of_sample in groupby(jobs, key=lambda job: job.edited_image.sample.id):
        block.append(list(of_sample))
        if sum(map(len, block)) >= size:
            yield block
            block = []
    if block:
        yield block


@dataclass(frozen=True)
class _EditWithSource:
    """An edited image as it was saved, the size that it is scored in, and its source at the same pixels."""

    job: ScoringJob
    saved: NDArray[np.uint8]
    size: Size
    source: SourceImage


def _load_with_sources(of_sample: Sequence[ScoringJob], resize: bool) -> list[_EditWithSource]:
    """Load the edits of one sample, each with its source, mask and ideal edit at the edit's pixels.

    Edits that want the source in the same way share one ``SourceImage``.

    Raises:
        PiebenchError: an image cannot be read, has another size, or was changed since its key was computed.
    """
    ideal = next((job.ideal for job in of_sample if job.ideal is not None), None)
    sample = of_sample[0].edited_image.sample
    source_at = cache(
        lambda resolution, loader, multiple: load_source(sample, resolution, loader, ideal, multiple)
    )
    loaded = []
    for job in of_sample:
        edit = load_edit(job.edited_image, resize)
        source = source_at(edit.layout.resolution, edit.layout.loader, edit.layout.multiple)
        loaded.append(_EditWithSource(job, edit.saved, edit.layout.size, source))
        for file, state in job.file_states.items():
            if file_state(file) != state:
                raise PiebenchError(f"{file}: was changed while it was scored; run the same command again")
    return loaded


def _score_block(
    block: Sequence[_EditWithSource], networks: MetricNetworks, score_cache: ScoreCache, low_memory: bool
) -> int:
    """Score a block of edits, size by size, and put the scores into the cache; returns their number."""

    def size(edit: _EditWithSource) -> tuple[int, ...]:
        return edit.source.image.shape

    import torch

    scores: list[tuple[str, float]] = []
    try:
        for _, same_size in groupby(sorted(block, key=size), key=size):
            scores += _scores_of_one_size(list(same_size), networks, low_memory)
    except torch.OutOfMemoryError as error:
        raise PiebenchError(
            f"the memory of {networks.device} is full; pass a --batch-size below {networks.batch_size}, or "
            "--device cpu"
        ) from error
    score_cache.add(scores)
    return len(block)


def _scores_of_one_size(
    edits: Sequence[_EditWithSource], networks: MetricNetworks, low_memory: bool
) -> Iterator[tuple[str, float]]:
    """Compute the missing scores of edits of one size, in one ``ScoringBatch``.

    Here images and masks meet the metrics: every metric and protocol gets the same batch, so that they share
    intermediate results.

    Args:
        edits: the edits.
        networks: the networks.
        low_memory: see ``compute_scores``.

    Yields:
        Pairs of cache key and score.
    """
    from piebench_eval.metrics.scoring_batch import ScoringBatch

    sources = list(dict.fromkeys(edit.source for edit in edits))
    source_indices = [sources.index(edit.source) for edit in edits]
    keys: dict[str, list[str | None]] = {}
    specs: dict[str, ScoreSpec] = {}
    for position, edit in enumerate(edits):
        for spec, key in zip(edit.job.specs, edit.job.keys, strict=True):
            specs[spec.fingerprint] = spec
            keys.setdefault(spec.fingerprint, [None] * len(edits))[position] = key
    saved_images, sizes = [edit.saved for edit in edits], [edit.size for edit in edits]
    batch = ScoringBatch(networks, PAPER, sources, source_indices, saved_images, {}, sizes)
    column = None
    for fingerprint, spec in specs.items():
        if low_memory and spec.column != column:
            batch.computed.clear()
        column = spec.column
        scores = score_edits(batch.with_protocol(spec.protocol), column)
        yield from ((key, score) for key, score in zip(keys[fingerprint], scores, strict=True) if key)


def score_edits(batch: ScoringBatch, column: str) -> list[float]:
    """Score a batch of edits by one metric.

    Args:
        batch: the edits, under a protocol.
        column: name of the metric.

    Returns:
        The scores of the edits, in their order.

    Raises:
        PiebenchError: a network cannot be loaded, or a plugin's metric failed.
    """
    import torch

    plugin = METRICS.origin(column)
    try:
        with torch.inference_mode():
            scores = [float(score) for score in METRICS.get(column).score(batch)]
    except Exception as error:
        if plugin is None or isinstance(error, PiebenchError):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise PiebenchError(
            f"{plugin}: metric {column} failed with {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error
    if len(scores) != len(batch.source_indices):
        raise PiebenchError(
            f"{plugin}: metric {column} gave {len(scores)} scores for {len(batch.source_indices)} edits; "
            "give one for each"
        )
    return scores
