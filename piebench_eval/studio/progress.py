"""Progress of one edit by counted model evaluations, and its cancellation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.models.nfe import EvaluationCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch


class Cancelled(BaseException):
    """An edit is not wanted any more; no ``Exception``, which is what a plugin's errors are."""


@dataclass(frozen=True)
class EditProgress:
    """How far an edit is.

    Attributes:
        done: evaluations so far.
        total: evaluations in all; 0 where they are not known.
        seconds: since its beginning.
    """

    done: int
    total: int
    seconds: float

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first evaluation."""
        if not self.done or not self.total:
            return None
        return self.seconds * (1 - self.share) / self.share


class WatchedCounter(EvaluationCounter):
    """Counts the evaluations of an edit of one sample, tells of each, and ends a cancelled edit."""

    def __init__(
        self,
        total: int,
        tell: Callable[[EditProgress], None],
        is_cancelled: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
    ):
        super().__init__()
        self._total, self._tell, self._is_cancelled = total, tell, is_cancelled
        self._clock, self._began = clock, clock()
        self._watched = 0

    def count(self, samples: Sequence[int], noise: torch.Tensor) -> None:
        """Count a call of the model.

        Raises:
            Cancelled: the edit is not wanted any more.
        """
        super().count(samples, noise)
        self._tell_of_it()

    def count_reused(self, sample: int, forward: int, backward: int) -> None:
        """Count evaluations that are not computed again; see ``count``."""
        super().count_reused(sample, forward, backward)
        self._tell_of_it()

    def count_watched(self, rows: int) -> None:
        """Tell of rows of a pipeline's denoiser, which its editor counts at its end; see ``count``."""
        self._watched += rows
        self._tell_of_it()

    def _tell_of_it(self) -> None:
        if self._is_cancelled():
            raise Cancelled
        self._tell(EditProgress(self.forward[0] or self._watched, self._total, self._clock() - self._began))
