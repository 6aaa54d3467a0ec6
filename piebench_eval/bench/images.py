"""Reading pictures and masks at the model's resolution, and encoding edits."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from piebench_eval.bench.pictures import picture_size, read_picture
from piebench_eval.bench.rle import BoolMask, decode_rle, set_frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.bench.sample import Sample


ImageLoader = Literal["crop", "stretch", "shorter_side"]
"""How a picture is brought to a resolution; all three are one where pictures have it already."""


def load_image(
    file: Path,
    resolution: int | None = None,
    loader: ImageLoader = "crop",
    read: Callable[[Path], NDArray[np.uint8]] = read_picture,
) -> NDArray[np.uint8]:
    """Read a picture as RGB at a resolution.

    Args:
        file: the picture.
        resolution: side in pixels of the result; None keeps the picture's own.
        loader: ``crop`` cuts the central square out and resizes it with PIL's default filter; ``stretch``
            takes the nearest pixels of the whole picture; ``shorter_side`` resizes the whole picture
            bilinearly until its shorter side fits, and is the only one whose result need not be square.

        read: where its pixels come from; its file by default.

    Returns:
        Array of shape ``[height, width, 3]``.

    Raises:
        PiebenchError: the picture is missing, damaged or of a kind that has no one look as RGB.
    """
    image = Image.fromarray(read(file))
    if loader == "crop":
        image = centre_square(image)
    if resolution is None or image.size == (resolution, resolution):
        return np.array(image)
    if loader == "crop":
        return np.array(image.resize((resolution, resolution)))
    if loader == "stretch":
        rows, columns = (np.arange(resolution) * side // resolution for side in (image.height, image.width))
        return np.array(image)[rows[:, None], columns]
    shorter = min(image.size)
    width, height = (resolution * side // shorter for side in image.size)
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def load_mask(sample: Sample, resolution: int | None = None, frame: bool = True) -> BoolMask:
    """Decode a sample's mask and take it through the same crop and size as its picture.

    Args:
        sample: whose mask.
        resolution: side in pixels of the result; None keeps the picture's own.
        frame: whether the outermost frame is set, as the protocol has it.

    Returns:
        Mask of shape ``[resolution, resolution]``, True where the picture should be edited.

    Raises:
        PiebenchError: the picture, whose size the mask has, is missing or damaged.
    """
    width, height = picture_size(sample.file)
    square = centre_square(Image.fromarray(decode_rle(sample.mask_rle, height, width, frame=False)))
    if resolution is not None and square.width != resolution:
        square = square.resize((resolution, resolution), Image.Resampling.NEAREST)
    mask = np.array(square)
    return set_frame(mask) if frame else mask


def centre_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle of a picture."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def encode_image(image: NDArray[np.uint8], image_format: str = "png") -> bytes:
    """Encode a picture ``[height, width, 3]`` as ``png`` or ``jpeg:QUALITY``."""
    buffer = io.BytesIO()
    if image_format == "png":
        Image.fromarray(image).save(buffer, "PNG")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=int(image_format.partition(":")[2]))
    return buffer.getvalue()
