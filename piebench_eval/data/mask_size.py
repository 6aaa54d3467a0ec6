"""Whether a mask belongs to a picture of its size, and bringing masks of another size to their pictures."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import isqrt, sqrt
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.data.rle import decode_rle, encode_rle
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.data.rle import BoolMask

Size = tuple[int, int]
"""Width and height in pixels."""

_SIZE = re.compile("([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?")
_SMALLEST, _LARGEST = 16, 4096
"""Sides in pixels between which a mask's size is guessed from its runs."""

_FEWEST_RUNS = 4
"""Runs from which on their distances say how wide the picture is."""

_NEAR = 1.25
"""Widths that differ by less are told apart by no outline: a slanting one moves from row to row too."""

_SMOOTHER = 0.75
"""Share of the changes from row to row that another width must stay below to be believed."""


@dataclass(frozen=True)
class OtherSize:
    """The size of picture that a mask seems to be made for.

    Attributes:
        size: width and height.
        sure: whether no mask of its picture's own size could look so; otherwise it is unlikely only.
    """

    size: Size
    sure: bool


def parse_mask_size(text: str) -> Size:
    """Read ``SIDE`` or ``WIDTHxHEIGHT``, in pixels.

    Raises:
        PiebenchError: it is neither.

    >>> parse_mask_size("512"), parse_mask_size("640x480")
    ((512, 512), (640, 480))
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise PiebenchError(f"--mask-size {text}: write a side such as 512, or a width and a height: 640x480")
    return int(found[1]), int(found[2] or found[1])


def size_text(size: Size) -> str:
    """Write a size as ``WIDTHxHEIGHT``."""
    return f"{size[0]}x{size[1]}"


def mask_end(rle: Sequence[int]) -> int:
    """Where a mask's last run ends, in pixels from the picture's first; 0 for a mask without pixels."""
    pairs = zip(rle[::2], rle[1::2], strict=True)
    return max((start + length for start, length in pairs if length), default=0)


def is_empty(rle: Sequence[int], size: Size) -> bool:
    """Whether a mask sets no pixel of a picture; what lies behind the picture's end is none of it."""
    area = size[0] * size[1]
    return not any(length and start < area for start, length in zip(rle[::2], rle[1::2], strict=True))


def scale_rle(rle: Sequence[int], made_for: Size, size: Size) -> tuple[int, ...]:
    """Bring a mask to another size, by the nearest pixels.

    Args:
        rle: run-length list over pictures of the size ``made_for``.
        made_for: width and height.
        size: width and height of the result.

    Returns:
        The run-length list; the given one where nothing changes.
    """
    if made_for == size:
        return tuple(rle)
    mask = Image.fromarray(decode_rle(rle, made_for[1], made_for[0], frame=False))
    return tuple(encode_rle(np.array(mask.resize(size, Image.Resampling.NEAREST))))


def other_size(rle: Sequence[int], size: Size) -> OtherSize | None:
    """Tell whether a mask seems to be made for a picture of another size.

    A mask with its outermost frame set, as the official ones have it, ends where its picture does. Of any
    other, the distances between runs say how wide its rows are.

    Args:
        rle: run-length list of the mask.
        size: width and height of the picture that it is held against.
    """
    width, height = size
    area, end = width * height, mask_end(rle)
    if end == 0 or end > _LARGEST**2 or (end == area and width == height):
        return None
    mask = decode_rle(rle, 1, end, frame=False)[0]
    if end == area and _is_framed(mask, size):
        return None
    if end != area and mask.all():
        whole = next(_sizes_that_end(end, size), None)
        return None if whole is None else OtherSize(whole, sure=end > area)
    framed = next((other for other in _sizes_that_end(end, size) if _is_framed(mask, other)), None)
    if framed is not None:
        return OtherSize(framed, sure=True)
    return _by_width(mask, size)


def _sizes_that_end(end: int, size: Size) -> Iterator[Size]:
    """Squares, pictures of the same shape and pictures turned by a quarter that have so many pixels."""
    width = round(sqrt(end * size[0] / size[1]))
    for wide in dict.fromkeys((isqrt(end), width, size[1])):
        if wide and end % wide == 0 and _is_picture(other := (wide, end // wide), size):
            yield other


def _is_picture(other: Size, size: Size) -> bool:
    width, height = other
    shapes = (width == height, width * size[1] == height * size[0], other == size[::-1])
    return other != size and min(other) >= _SMALLEST and any(shapes)


def _is_framed(mask: BoolMask, size: Size) -> bool:
    """Whether a flat mask has the outermost pixels of a picture set."""
    rows = mask.reshape(size[1], size[0])
    return bool(rows[[0, -1]].all() and rows[:, [0, -1]].all())


def _by_width(mask: BoolMask, size: Size) -> OtherSize | None:
    """The width at which a flat mask changes least from row to row, if it is far from the picture's."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    starts = edges[::2]
    if len(starts) < _FEWEST_RUNS:
        return None
    changes = {wide: _changes(mask, wide) for wide in {size[0], *_distances(starts)}}
    width = min(changes, key=lambda wide: (changes[wide], abs(wide - size[0])))
    ratio = max(width, size[0]) / min(width, size[0])
    if ratio < _NEAR or changes[width] > _SMOOTHER * changes[size[0]]:
        return None
    same_shape, lowest = round(width * size[1] / size[0]), -(-len(mask) // width)
    if len(mask) > size[0] * size[1]:
        return OtherSize((width, max(same_shape, lowest)), sure=True)
    # Stripes have a width of their own; a smaller or a turned picture would have the whole mask inside.
    height = size[0] if width == size[1] else same_shape
    fits = height >= lowest and (width < size[0] or width == size[1])
    return OtherSize((width, height), sure=False) if fits else None


def _distances(starts: NDArray[np.intp]) -> Iterator[int]:
    """The most common distances between runs: of neighbours, and of those one and two further."""
    for lag in (1, 2, 3):
        counted = Counter((starts[lag:] - starts[:-lag]).tolist())
        yield from (wide for wide, _ in counted.most_common(2) if _SMALLEST <= wide <= _LARGEST)


def _changes(mask: BoolMask, width: int) -> int:
    """Pixels of a flat mask that differ from those above them, in rows of a width."""
    return int(np.count_nonzero(mask[width:] != mask[:-width]))
