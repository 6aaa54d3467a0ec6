"""The inside of an edit as small pictures for the page: maps and masks to lay over it, and thumbnails."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.data.images import encode_image
from piebench_eval.studio.worker import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.diffusion.inside import Reconstruction, StepMask
    from piebench_eval.studio.session import Made
    from piebench_eval.studio.worker import Worker

SHOWN_MASKS = 6
"""Masks of so many steps are shown, the first and the last among them."""

_THUMBNAIL = 256
"""Pixels of a picture's longer side under maps."""

_HEAT = np.array([[16, 8, 48, 215], [150, 20, 90, 150], [255, 120, 40, 95], [255, 230, 120, 70]], float)
"""Colours and opacity from no attention to the most, evenly spaced: what is attended to shows through."""

_VEIL = np.array([16, 8, 48, 200], np.uint8)
"""What lies over the part of a picture that a mask leaves to the source."""

_LOOK_EVERY = 0.5


def heat(attention: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a word's map, from nothing to its own maximum, to lie over a picture.

    Args:
        attention: ``[rows, columns]``, not negative.

    Returns:
        ``[rows, columns, 4]``.

    >>> heat(np.array([[0.0, 0.02]], np.float32))[0].tolist()
    [[16, 8, 48, 215], [255, 230, 120, 70]]
    """
    highest = float(attention.max())
    at = (attention / highest if highest else attention) * (len(_HEAT) - 1)
    places = np.arange(len(_HEAT))
    channels = [np.interp(at, places, _HEAT[:, channel]) for channel in range(4)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def veil(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Darken what is outside a mask.

    Args:
        mask: 255 inside ``[rows, columns]``.

    Returns:
        ``[rows, columns, 4]``.
    """
    veiled = np.broadcast_to(_VEIL, (*mask.shape, 4)).copy()
    veiled[..., 3] = veiled[..., 3] * (1 - mask / 255)
    return veiled


def some_masks(masks: Sequence[StepMask]) -> list[StepMask]:
    """Masks of a few steps, evenly spaced.

    >>> from piebench_eval.diffusion.inside import StepMask
    >>> nothing = np.zeros((1, 1), np.uint8)
    >>> [mask.step for mask in some_masks([StepMask(step, nothing) for step in range(11, 51)])]
    [11, 19, 27, 34, 42, 50]
    """
    if len(masks) <= SHOWN_MASKS:
        return list(masks)
    return [masks[round(number * (len(masks) - 1) / (SHOWN_MASKS - 1))] for number in range(SHOWN_MASKS)]


def png_address(picture: NDArray[np.uint8]) -> str:
    """A picture ``[rows, columns, 3 or 4]`` as an address that holds it."""
    return _address("png", encode_image(picture))


def thumbnail_address(picture: NDArray[np.uint8]) -> str:
    """Likewise of a thumbnail of a picture ``[height, width, 3]``."""
    small = Image.fromarray(picture)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return _address("jpeg", encode_image(np.asarray(small), "jpeg:90"))


def picture_of(made: Made) -> NDArray[np.uint8]:
    """The edit itself ``[height, width, 3]``."""
    with Image.open(io.BytesIO(made.file.read_bytes())) as image:
        return np.asarray(image.convert("RGB"))


def reconstructed(worker: Worker, made: Made) -> Iterator[Reconstruction | str | None]:
    """Take the source branch of an edit to its end, in the worker's thread.

    Yields:
        None while it is at work, and in the end the reconstruction, or why there is none.
    """
    assert made.reconstruct is not None, "nothing is offered for an edit without a source branch"
    request = Request([made.reconstruct])
    worker.submit(request)
    yield None
    try:
        for update in request.updates(_LOOK_EVERY):
            if update is not None and (update.result is not None or update.problem):
                yield update.result or update.problem
                return
            yield None
    finally:
        worker.withdraw(request)


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
