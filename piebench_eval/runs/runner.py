"""The interface of a runner, which edits batches for a worker, and the edited images that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.recipes.combination import Combination
    from piebench_eval.runs.jobs import ModelSpec


@dataclass(frozen=True)
class EditResult:
    """An edited image and what it cost.

    Attributes:
        sample: the sample.
        image: the edit as it is saved, ``[height, width, 3]``.
        latents: the edit before decoding, ``[4, h, w]``; None of an editor of pictures.
        seconds: wall time, the batch's divided by its size.
        nfe_forward: model evaluations that the edit needs, in rows of a batch.
        nfe_backward: those that are differentiated too.
        nfe_reused: how many of both another edit of the same source computed: an earlier combination's, or
            that of another sample.
        peak_memory: bytes in use at the batch's peak on the GPU; on the CPU the process's peak so far,
            and 0 on Windows, which does not report it.
        notes: for the user, about this edit.
        resolution: shorter side in pixels that it was made with; None if unknown.
    """

    sample: Sample
    image: NDArray[np.uint8]
    latents: torch.Tensor | None
    seconds: float
    nfe_forward: int
    nfe_backward: int
    nfe_reused: int
    peak_memory: int
    notes: list[str]
    resolution: int | None = None

    def costs(self) -> dict[str, Any]:
        """The fields of an edit's record as run folders name them: ``unet_rows_*`` are model evaluations."""
        return {
            "seconds": round(self.seconds, 4),
            "unet_rows_forward": self.nfe_forward,
            "unet_rows_backward": self.nfe_backward,
            "unet_rows_reused": self.nfe_reused,
            "peak_memory_bytes": self.peak_memory,
            "notes": self.notes,
        }


class Runner(Protocol):
    """Edits batches with one model at a time, see ``runs.model_runner.ModelRunner``."""

    @property
    def about(self) -> dict[str, Any]:
        """The device and its machine, for the session log."""
        ...

    @property
    def capacity(self) -> int | None:
        """Bytes of a GPU's memory that this process can have now; None elsewhere."""
        ...

    @property
    def weights_bytes(self) -> int:
        """Bytes of it that the weights take."""
        ...

    def load(self, model: ModelSpec) -> str | None:
        """Load a model in place of the one before, and return its fingerprint."""
        ...

    def edit(self, combination: Combination, samples: Sequence[Sample]) -> Sequence[EditResult]:
        """Edit a batch."""
        ...

    def prefetch(self, samples: Sequence[Sample]) -> None:
        """Start to read the images of coming samples."""
        ...

    def clear_cache(self) -> None:
        """Drop what the combinations of a batch share."""
        ...
