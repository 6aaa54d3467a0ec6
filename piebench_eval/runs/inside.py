"""What an observer has seen of a batch, as pictures and small arrays: decoded, and with reasons for gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from piebench_eval.data.images import resample
from piebench_eval.diffusion.inside import Frame, Inside, Reconstruction, StepMask
from piebench_eval.diffusion.rows import Branch
from piebench_eval.metrics.background import psnr_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from piebench_eval.diffusion.inside import Part, WordMap
    from piebench_eval.diffusion.observer import Seen

    Decode = Callable[[torch.Tensor], NDArray[np.uint8]]

FRAME_SIDE = 256
"""Pixels of a frame's longer side, at most."""


def insides(
    seen: Seen, pictures: NDArray[np.uint8], sources: Sequence[NDArray[np.uint8]], decode: Decode, name: str
) -> list[Inside]:
    """What was seen of each sample.

    Args:
        seen: of the batch.
        pictures: the edits ``[samples, height, width, 3]``, the last frames of the films.
        sources: the pictures as they were encoded, each ``[height, width, 3]``.
        decode: decodes latents ``[samples, channels, h, w]`` to pictures.
        name: an editor's that inverts nothing; empty if there is an inversion.
    """
    decoded = [(step, decode(latents)) for step, latents in seen.film[:-1]]
    decoded += [(seen.steps, pictures)]
    ends = (
        None if name or seen.source_end is None or not any(seen.source_is_known) else decode(seen.source_end)
    )
    whether_pictures = [] if seen.source_is_picture is None else seen.source_is_picture.tolist()
    steps_masks = {step: (list(samples), mask.cpu().numpy()) for step, (samples, mask) in seen.masks.items()}
    found = []
    for place, source in enumerate(sources):
        end = None if ends is None or not seen.source_is_known[place] else ends[place]
        source_words, target_words = (seen.words[branch].of_sample(place) for branch in _BRANCHES)
        masks = [
            StepMask(step, mask[samples.index(place), 0])
            for step, (samples, mask) in steps_masks.items()
            if place in samples
        ]
        found.append(
            Inside(
                source_words=source_words,
                target_words=target_words,
                source_steps=len(seen.words[Branch.SOURCE].steps[place]),
                target_steps=len(seen.words[Branch.TARGET].steps[place]),
                masks=masks,
                reconstruction=None if end is None else reconstruction(end, source, whether_pictures[place]),
                film=[Frame(step, _small(pictures[place])) for step, pictures in decoded],
                steps=seen.steps,
                missing=_missing(seen, place, (source_words, target_words), masks, end is not None, name),
            )
        )
    return found


_BRANCHES = (Branch.SOURCE, Branch.TARGET)


def reconstruction(
    picture: NDArray[np.uint8], source: NDArray[np.uint8], is_picture: bool = False
) -> Reconstruction:
    """A reconstruction with its PSNR.

    Args:
        picture: where the source branch ends ``[height, width, 3]``.
        source: the picture as it was encoded, same shape.
        is_picture: see ``Reconstruction``.
    """
    difference = torch.from_numpy(picture.astype(np.float64) - source) / 255
    return Reconstruction(picture, float(psnr_of(difference.square().mean())), is_picture)


def _missing(
    seen: Seen,
    place: int,
    words: Sequence[Sequence[WordMap]],
    masks: Sequence[StepMask],
    reconstructed: bool,
    name: str,
) -> dict[Part, str]:
    """Why parts of what was seen of a sample are missing."""
    missing: dict[Part, str] = {}
    parts: tuple[Part, Part] = ("source_words", "target_words")
    for part, branch, found in zip(parts, _BRANCHES, words, strict=True):
        if not found and not seen.words[branch].prompts[place].split():
            missing[part] = f"the prompt of the {branch.name.lower()} branch is empty"
        elif not found:
            missing[part] = f"the edit does not evaluate the {branch.name.lower()} branch"
    if not masks:
        missing["masks"] = "there was no mask: the method has none, or no blended words to find one by"
    if name:
        missing["reconstruction"] = f"{name} inverts nothing, so it has nothing to reconstruct from"
    elif not reconstructed:
        missing["reconstruction"] = (
            "the edit does not take the source branch to its end, since the method does not look at it there"
        )
    return missing


def _small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture whose longer side is ``FRAME_SIDE`` at most."""
    height, width, _ = picture.shape
    scale = min(1, FRAME_SIDE / max(height, width))
    return resample(picture, (round(width * scale), round(height * scale)))
