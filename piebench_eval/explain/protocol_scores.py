"""Scores of the same images under any number of protocols."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.scoring.cache import Score
from piebench_eval.scoring.score import do_work, work_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.metrics.networks.suite import Suite
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.scoring.cache import ScoreCache
    from piebench_eval.scoring.edited_images import EditedImage
    from piebench_eval.scoring.score import Scoring

Question = tuple[str, "Protocol"]
"""A column and the protocol that it is asked about under."""


class ProtocolScores:
    """Values of one combination's pictures under any protocol, computed once and kept.

    Attributes:
        types: the pictures' editing types.
    """

    def __init__(
        self, edited_images: Sequence[EditedImage], scoring: Scoring, suite: Suite, cells: ScoreCache
    ):
        """Say what the protocol_scores is about.

        Args:
            edited_images: the pictures.
            scoring: the networks, and whether pictures of other sizes are resized.
            suite: the networks themselves; a small batch keeps the memory low.
            cells: where values are kept.
        """
        self._edited_images, self._scoring, self._suite, self._cells = edited_images, scoring, suite, cells
        self._values: dict[str, NDArray[np.float64]] = {}
        self._score = cache(self._score_under)
        self.types = [edited_image.sample.type_id for edited_image in edited_images]

    def knows(self, column: str, protocol: Protocol) -> bool:
        """Whether a question needs no computing."""
        return self._score(column, protocol).fingerprint in self._values

    def values(self, column: str, protocol: Protocol) -> NDArray[np.float64]:
        """The answer to a question that was computed: a score per picture of the types that count."""
        values = self._values[self._score(column, protocol).fingerprint]
        types = protocol.average.types
        return values if types is None else values[np.isin(self.types, types)]

    def unknown(self, questions: Iterable[Question]) -> list[Score]:
        """What has to be computed for some questions, each thing once, a column's next to each other."""
        scores = [self._score(column, protocol) for column, protocol in questions]
        wanted = {score.fingerprint: score for score in scores if score.fingerprint not in self._values}
        return sorted(wanted.values(), key=lambda score: score.column)

    def compute(self, scores: Sequence[Score]) -> Iterator[int]:
        """Compute what is not known, picture by picture.

        Yields:
            How many pictures were finished since the last time.

        Raises:
            PiebenchError: a network cannot be loaded, a picture cannot be read or has another size.
        """
        work = list(work_on(self._edited_images, scores, self._cells))
        yield from do_work(work, self._suite, self._cells, self._scoring.resize, low_memory=True)
        for position, score in enumerate(scores):
            values = [self._cells[item.keys[position]] for item in work]
            self._values[score.fingerprint] = np.array(values, dtype=float)

    def _score_under(self, column: str, protocol: Protocol) -> Score:
        return Score(column, protocol, self._scoring.models, self._scoring.precision)
