"""An edited picture and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample


@dataclass(frozen=True)
class EditResult:
    """An edited picture and what it cost.

    Attributes:
        sample: what was edited.
        image: the edit, ``[height, width, 3]``.
        latents: the edit before decoding, ``[4, h, w]``.
        seconds: wall time, the batch's divided by its size.
        unet_forward: UNet rows that the edit needs.
        unet_backward: UNet rows differentiated for it.
        unet_reused: how many of both an earlier combination had computed.
        peak_memory: bytes in use at the batch's peak, on the GPU; on the CPU the process's peak so far,
            and 0 on Windows, which does not tell it.
        notes: what the user should know.
    """

    sample: Sample
    image: NDArray[np.uint8]
    latents: torch.Tensor
    seconds: float
    unet_forward: int
    unet_backward: int
    unet_reused: int
    peak_memory: int
    notes: list[str]

    def costs(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {
            "seconds": round(self.seconds, 4),
            "unet_rows_forward": self.unet_forward,
            "unet_rows_backward": self.unet_backward,
            "unet_rows_reused": self.unet_reused,
            "peak_memory_bytes": self.peak_memory,
            "notes": self.notes,
        }
