"""Convert COCO's run-length masks to those of PIE-Bench."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.images import size_text
from piebench_eval.data.masks import encode_rle
from piebench_eval.data.messages import kind_of, printable

if TYPE_CHECKING:
    from piebench_eval.data.images import Size

_MAX_BITS = 60
"""Bits of a packed count; COCO uses 32."""

_FORM = 'COCO writes {"size": [height, width], "counts": [...] or text}'


def coco_to_rle(mask: Any, size: Size) -> tuple[list[int], bool]:
    """Convert a mask in COCO's format to a run-length list.

    COCO counts pixels column by column, alternating between unset and set, as a list or packed into text;
    PIE-Bench lists the start and length of each run, row by row.

    Args:
        mask: an object with ``size`` (height and width) and ``counts``.
        size: width and height of its image.

    Returns:
        The run-length list, and whether the counts cover the whole image; if not, the rest is not marked.

    Raises:
        ValueError: it is no such mask, or of another size; the message names the remedy.

    >>> coco_to_rle({"size": [2, 3], "counts": [2, 3, 1]}, (3, 2))
    ([1, 2, 4, 1], True)
    """
    if not isinstance(mask, dict) or not {"size", "counts"} <= set(mask):
        raise ValueError(f'must have "size" and "counts"; {_FORM}')
    shape, counts = mask["size"], mask["counts"]
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(side) is int for side in shape)):
        raise ValueError(f'has a "size" that is not two whole numbers; {_FORM}')
    height, width = shape
    if (width, height) != size:
        raise ValueError(
            f"is {width}x{height}, but its picture is {size_text(size)}; write it for the picture's size"
        )
    lengths = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list):
        raise ValueError(f'has "counts" that are {kind_of(lengths)}; {_FORM}')
    if not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError(f'has "counts" that are not whole numbers from 0 on; {_FORM}')
    pixels, counted = height * width, sum(lengths)
    if counted > pixels:
        raise ValueError(
            f'has "counts" of more pixels together than the {pixels} of {size_text(size)}; restore the mask'
        )
    columns = np.zeros(pixels, dtype=bool)
    columns[:counted] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return encode_rle(columns.reshape(width, height).T), counted == pixels


def _unpacked(text: str) -> list[int]:
    """Unpack COCO's counts: six bits a character, lowest first; from the third count on, differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > _MAX_BITS:
            raise ValueError(
                f'has "counts" with {printable(repr(letter))}, which COCO does not write there; {_FORM}'
            )
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError('has "counts" that end within a number; restore the mask')
    return counts
