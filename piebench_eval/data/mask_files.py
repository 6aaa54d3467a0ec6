"""Masks that are kept as pictures: white where the picture should be edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.image_files import PictureError, decode_picture
from piebench_eval.data.mask_size import size_text
from piebench_eval.data.rle import encode_rle

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.data.mask_size import Size
    from piebench_eval.data.rle import BoolMask

_WHITE = 128
"""Level from which a pixel counts; the lightest of its three channels decides."""


def read_mask(file: Path) -> BoolMask:
    """Read a black and white picture as a mask.

    Returns:
        ``[height, width]``, True where it is lighter than middle grey.

    Raises:
        PictureError: it cannot be read, or holds nothing but dark pixels that are not black.
    """
    levels = decode_picture(file).max(axis=2)
    lightest = int(levels.max())
    if 0 < lightest < _WHITE:
        raise PictureError(
            f"is dark everywhere (its lightest pixel has {lightest} of 255), so that nothing would be "
            "marked; save the mask in black and white"
        )
    return levels >= _WHITE


def mask_as_runs(file: Path, size: Size) -> tuple[int, ...]:
    """Read a mask of a size as a run-length list.

    Raises:
        PictureError: it cannot be read, or has another size.
    """
    mask = read_mask(file)
    height, width = mask.shape
    if (width, height) != size:
        raise PictureError(
            f"the mask is {width}x{height}, but belongs to a picture of {size_text(size)}; save it in that "
            f"size, or pass --mask-size {width}x{height} if all masks have it"
        )
    return tuple(encode_rle(mask))
