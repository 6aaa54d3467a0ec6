"""Masks of other formats as the run-length lists of the official one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.mask_size import size_text
from piebench_eval.data.names import kind_of, shown
from piebench_eval.data.rle import encode_rle

if TYPE_CHECKING:
    from piebench_eval.data.mask_size import Size

_MOST_BITS = 60
"""Of a packed count; COCO's have 32."""

_FORM = 'COCO writes {"size": [height, width], "counts": [...] or text}'


def coco_runs(mask: Any, size: Size) -> tuple[list[int], bool]:
    """A mask as COCO writes it, as the runs of the official format.

    COCO counts pixels column by column, without and with the mask in turn, as a list or packed into text; the
    official format has the start and the length of each run, row by row.

    Args:
        mask: an object with ``size`` (height and width) and ``counts``.
        size: width and height of the picture that it belongs to.

    Returns:
        The runs, and whether the counts reach the picture's end; if not, nothing behind them is marked.

    Raises:
        ValueError: it is something else, or of another size; the message says what, and the remedy.

    >>> coco_runs({"size": [2, 3], "counts": [2, 3, 1]}, (3, 2))
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
    """COCO's counts from text: six bits a character, the lowest first; from the third on, differences."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > _MOST_BITS:
            raise ValueError(
                f'has "counts" with {shown(repr(letter))}, which COCO does not write there; {_FORM}'
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
