"""Reading pictures and masks at the model's resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.bench.rle import BoolMask, decode_rle, set_frame

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.bench.sample import Sample


def load_image(file: Path, resolution: int | None = None) -> NDArray[np.uint8]:
    """Read a picture as RGB, centre-cropped to a square and resized with PIL's default filter.

    Args:
        file: the picture.
        resolution: side in pixels of the result; None keeps the side of the crop.

    Returns:
        Array of shape ``[resolution, resolution, 3]``.
    """
    with Image.open(file) as opened:
        square = _centre_square(opened.convert("RGB"))
    if resolution is not None and square.width != resolution:
        square = square.resize((resolution, resolution))
    return np.array(square)


def load_mask(sample: Sample, resolution: int | None = None) -> BoolMask:
    """Decode a sample's mask and take it through the same crop and size as its picture.

    Returns:
        Mask of shape ``[resolution, resolution]``; the outermost frame is always set.
    """
    with Image.open(sample.file) as opened:
        width, height = opened.size
    square = _centre_square(Image.fromarray(decode_rle(sample.mask_rle, height, width)))
    if resolution is not None and square.width != resolution:
        square = square.resize((resolution, resolution), Image.Resampling.NEAREST)
    return set_frame(np.array(square))


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))
