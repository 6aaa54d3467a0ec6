"""What an observer has seen of an edit: word maps, masks, the reconstruction, and the way of the latents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

Part = Literal["source_words", "target_words", "masks", "reconstruction", "film"]
"""A part of ``Inside``, by its attribute."""


@dataclass(frozen=True)
class WordMap:
    """Where the picture attends to a word.

    Attributes:
        word: as it is in the prompt.
        map: the share of each place's attention, 0 to 1 ``[rows, columns]``, float32: the sum over the word's
            tokens, and the mean over heads, layers and evaluations.
    """

    word: str
    map: NDArray[np.float32]


@dataclass(frozen=True)
class StepMask:
    """Where a method edits.

    Attributes:
        step: how many steps were taken when it was used, that of its step included.
        mask: 255 where it edits, 0 where it does not ``[rows, columns]``, uint8.
    """

    step: int
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """The target's latents on their way.

    Attributes:
        step: how many steps were taken.
        picture: they, decoded by the model's autoencoder ``[height, width, 3]``, its longer side at most
            ``FRAME_SIDE`` pixels.
    """

    step: int
    picture: NDArray[np.uint8]


@dataclass(frozen=True)
class Reconstruction:
    """Where the source branch ends.

    Attributes:
        picture: its latents, decoded ``[height, width, 3]``.
        psnr: peak signal-to-noise ratio to the source at the same pixels, over the whole picture, in dB.
        is_picture: its latents are those that the source was encoded to, so that what is lost is lost by the
            autoencoder.
    """

    picture: NDArray[np.uint8]
    psnr: float
    is_picture: bool


@dataclass(frozen=True)
class Inside:
    """What was seen of one edit.

    Attributes:
        source_words: of each word of the source branch's prompt, in order.
        target_words: likewise of the target's.
        source_steps: how many steps the source's maps are of: those that evaluate its row.
        target_steps: likewise of the target's.
        masks: in the order of steps.
        reconstruction: None if it is not known.
        film: from the latents that sampling starts from to the edit.
        steps: sampling steps of the edit.
        missing: why a part is missing, for the user.
    """

    source_words: Sequence[WordMap] = ()
    target_words: Sequence[WordMap] = ()
    source_steps: int = 0
    target_steps: int = 0
    masks: Sequence[StepMask] = ()
    reconstruction: Reconstruction | None = None
    film: Sequence[Frame] = ()
    steps: int = 0
    missing: Mapping[Part, str] = field(default_factory=dict)


def unobserved(why: str) -> Inside:
    """What is seen of an edit that is not made in the edit loop: nothing."""
    parts: tuple[Part, ...] = ("source_words", "target_words", "masks", "reconstruction", "film")
    return Inside(missing=dict.fromkeys(parts, why))
