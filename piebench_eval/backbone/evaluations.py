"""Counting what an edit costs: UNet evaluations, in batch rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class UNetTally:
    """UNet rows spent on each sample of a batch, forward and backward.

    One row is one latent through the UNet once; a call with a batch of 3 costs 3.

    Attributes:
        forward: rows evaluated, by the sample's place in the batch.
        backward: rows differentiated, likewise.
    """

    def __init__(self) -> None:
        self.forward: Counter[int] = Counter()
        self.backward: Counter[int] = Counter()

    def count(self, samples: Sequence[int], noise: torch.Tensor) -> None:
        """Count one call whose row ``r`` belonged to ``samples[r]``; backward counts when it happens."""
        self.forward.update(samples)
        if noise.requires_grad:
            noise.register_hook(lambda gradient: self.backward.update(samples))
