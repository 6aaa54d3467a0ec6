"""Number of function evaluations (NFE): count model evaluations by sample."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class EvaluationCounter:
    """Evaluations of the model that each sample of a batch needs, forward and backward.

    One evaluation is one row of a batch through the model once: a call with 3 rows counts 3. What was
    computed before, for another combination, counts as if it were computed now, and in ``reused`` too; so
    does what is computed for another sample of the batch with the same source.

    Attributes:
        forward: evaluations, by the sample's place in the batch.
        backward: evaluations that were differentiated, likewise.
        reused: those of both that were not computed again.
    """

    def __init__(self) -> None:
        self.forward: Counter[int] = Counter()
        self.backward: Counter[int] = Counter()
        self.reused: Counter[int] = Counter()

    def count(self, samples: Sequence[int], noise: torch.Tensor) -> None:
        """Count one call whose row ``r`` belonged to ``samples[r]``; backward counts when it happens."""
        self.forward.update(samples)
        if noise.requires_grad:
            noise.register_hook(lambda gradient: self.backward.update(samples))

    def count_differentiated(self, samples: Sequence[int], latents: torch.Tensor) -> None:
        """Count a call as backward too, when its input ``latents`` are differentiated by, its output not.

        Row ``r`` of the call belongs to ``samples[r]``.
        """
        latents.register_hook(lambda gradient: self.backward.update(samples))

    def count_reused(self, sample: int, forward: int, backward: int) -> None:
        """Count one sample's evaluations that are not computed again."""
        self.forward[sample] += forward
        self.backward[sample] += backward
        self.reused[sample] += forward + backward

    def snapshot(self) -> tuple[Counter[int], Counter[int]]:
        """The counts as they are now."""
        return self.forward.copy(), self.backward.copy()

    def since(self, snapshot: tuple[Counter[int], Counter[int]], sample: int) -> tuple[int, int]:
        """One sample's evaluations, forward and backward, after a snapshot."""
        forward, backward = snapshot
        return self.forward[sample] - forward[sample], self.backward[sample] - backward[sample]


class CounterOfPlaces(EvaluationCounter):
    """Counts for some samples of a batch, which are a batch of their own to who evaluates the model.

    Args:
        counter: of the whole batch; it has all counts.
        places: of each of these samples its place in the whole batch.
    """

    def __init__(self, counter: EvaluationCounter, places: Sequence[int]):
        super().__init__()
        self._counter, self._places = counter, places

    def count(self, samples: Sequence[int], noise: torch.Tensor) -> None:
        """See ``EvaluationCounter``."""
        self._counter.count([self._places[sample] for sample in samples], noise)

    def count_differentiated(self, samples: Sequence[int], latents: torch.Tensor) -> None:
        """See ``EvaluationCounter``."""
        self._counter.count_differentiated([self._places[sample] for sample in samples], latents)

    def count_reused(self, sample: int, forward: int, backward: int) -> None:
        """See ``EvaluationCounter``."""
        self._counter.count_reused(self._places[sample], forward, backward)

    def snapshot(self) -> tuple[Counter[int], Counter[int]]:
        """The whole batch's counts as they are now."""
        return self._counter.snapshot()

    def since(self, snapshot: tuple[Counter[int], Counter[int]], sample: int) -> tuple[int, int]:
        """See ``EvaluationCounter``."""
        return self._counter.since(snapshot, self._places[sample])
