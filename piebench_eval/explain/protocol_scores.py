"""Scores of the same edited images under any number of protocols."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.metrics.columns import PSNR
from piebench_eval.scoring.cache import ScoreSpec
from piebench_eval.scoring.score import compute_scores, known_scores, scoring_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.metrics.networks.metric_networks import MetricNetworks
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.scoring.score import Scoring

TELLS_BACKGROUND = PSNR
"""The column that is nan where, under a protocol, a picture has no background."""

ProtocolColumn = tuple[str, "Protocol"]
"""A metric's column and the protocol that it is computed under."""


class ProtocolScores:
    """Scores of one combination's edited images under any protocol, each computed once.

    Attributes:
        types: the editing type of each image.
    """

    def __init__(
        self,
        edited_images: Sequence[EditedImage],
        scoring: Scoring,
        networks: MetricNetworks,
        score_cache: ScoreCache,
    ):
        """Compute nothing yet.

        Args:
            edited_images: the edited images of one combination.
            scoring: the networks' names, and whether images of other sizes are resized.
            networks: the networks; a small batch keeps the memory low.
            score_cache: the cache of scores.
        """
        self._edited_images, self._scoring = edited_images, scoring
        self._networks, self._score_cache = networks, score_cache
        self._values: dict[str, NDArray[np.float64]] = {}
        self._spec = cache(self._make_spec)
        self.types = [edited_image.sample.type_id for edited_image in edited_images]

    def is_computed(self, column: str, protocol: Protocol) -> bool:
        """Whether a column's scores under a protocol were computed."""
        return self._spec(column, protocol).fingerprint in self._values

    def values(self, column: str, protocol: Protocol) -> NDArray[np.float64]:
        """The computed scores of a column under a protocol, one per image that it counts."""
        return self._values[self._spec(column, protocol).fingerprint][self._counted(protocol)]

    def types_under(self, protocol: Protocol) -> NDArray[Any]:
        """The editing type of each image that a protocol counts, as ``values`` has them."""
        return np.array(self.types)[self._counted(protocol)]

    def _counted(self, protocol: Protocol) -> NDArray[np.bool_]:
        """Which images count under a protocol."""
        rules = protocol.average
        counted = np.ones(len(self.types), bool) if rules.types is None else np.isin(self.types, rules.types)
        if rules.pictures == "with_background":
            counted &= ~np.isnan(self._values[self._spec(TELLS_BACKGROUND, protocol).fingerprint])
        return counted

    def missing(self, required: Iterable[ProtocolColumn]) -> list[ScoreSpec]:
        """The scores among those required that were not computed, without repetition, sorted by column."""
        specs = [self._spec(column, protocol) for column, protocol in required]
        wanted = {spec.fingerprint: spec for spec in specs if spec.fingerprint not in self._values}
        return sorted(wanted.values(), key=lambda spec: spec.column)

    def compute(self, specs: Sequence[ScoreSpec]) -> Iterator[int]:
        """Compute scores, image by image; those in the cache are read from it.

        Yields:
            How many images were finished since the last time.

        Raises:
            PiebenchError: a network cannot be loaded, an image cannot be read or has another size.
        """
        jobs = list(scoring_jobs(self._edited_images, specs))
        yield from compute_scores(
            jobs, self._networks, self._score_cache, self._scoring.resize, low_memory=True
        )
        known = known_scores(jobs, self._score_cache)
        values = np.empty((len(jobs), len(specs)))
        for row, job in zip(values, jobs, strict=True):
            row[:] = [known[key] for key in job.keys]
        self._values |= {spec.fingerprint: values[:, index] for index, spec in enumerate(specs)}

    def _make_spec(self, column: str, protocol: Protocol) -> ScoreSpec:
        return ScoreSpec(column, protocol, self._scoring.models, self._scoring.precision)
