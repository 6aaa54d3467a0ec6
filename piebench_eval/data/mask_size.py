"""Detect masks that were made for images of another size.

A run-length list over the flattened image does not say how wide the image is. Decoded at a wrong width, the
mask is sheared into noise without an error. Two properties give the width away:

1. *The frame.* Official masks set their outermost pixels, so the last run ends with the image: the number of
   pixels is known, and the width is the one at which the outermost rows and columns are set.
2. *The distance between runs.* Without a frame, a run of one row begins near the run of the row above, so the
   distance from start to start is about the width. The most common distances are tried as widths; at the
   right one, pixels differ from the pixel above only at the outline. For example, a square of 16x16 pixels in
   an image of 32x32 has runs that start at 264, 296, 328, ...: the distances are 32. In rows of 32 pixels, 16
   pixels differ from the one above; in rows of 48 pixels, 480 do.

Stripes and other repeated patterns have several such distances, so the second property alone is only a strong
suspicion (``OtherSize.sure`` is False), unless the mask does not fit into its own image.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import isqrt, sqrt
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.data.masks import decode_rle, rle_end
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from piebench_eval.data.images import Size
    from piebench_eval.data.masks import BoolMask

_SIZE = re.compile("([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?")
_MIN_SIDE, _MAX_SIDE = 16, 4096
"""Range in pixels of the image sides that are guessed from a mask's runs."""

_MIN_RUNS = 4
"""Masks with fewer runs are accepted: their distances may be chance."""

_MIN_RATIO = 1.25
"""Closer widths are not distinguished: a slanting outline moves from row to row too."""

_MAX_CHANGES = 0.75
"""Another width is preferred if it leaves at most this share of the pixels that differ from the one above."""


@dataclass(frozen=True)
class OtherSize:
    """The image size that a mask was probably made for.

    Attributes:
        size: width and height.
        sure: whether the mask cannot belong to an image of its own size; otherwise that is unlikely only.
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


def other_size(rle: Sequence[int], size: Size) -> OtherSize | None:
    """Find the other image size that a mask was probably made for; None if it fits its image.

    Args:
        rle: run-length list of the mask.
        size: width and height of its image.

    >>> rle = [value for row in range(8, 24) for value in (32 * row + 8, 16)]  # a square in an image of 32x32
    >>> other_size(rle, (32, 32)) is None, other_size(rle, (64, 64))
    (True, OtherSize(size=(32, 32), sure=False))
    """
    width, height = size
    area, end = width * height, rle_end(rle)
    if end == 0 or end > _MAX_SIDE**2 or (end == area and width == height):
        return None
    mask = decode_rle(rle, 1, end)[0]
    if end == area and _is_framed(mask, size):
        return None
    if end != area and mask.all():
        whole = next(_plausible_sizes(end, size), None)
        return None if whole is None else OtherSize(whole, sure=end > area)
    framed = next((other for other in _plausible_sizes(end, size) if _is_framed(mask, other)), None)
    if framed is not None:
        return OtherSize(framed, sure=True)
    return _size_by_width(mask, size)


def _plausible_sizes(end: int, size: Size) -> Iterator[Size]:
    """Sizes of ``end`` pixels: squares, the image's aspect ratio, and the image turned by 90 degrees."""
    width = round(sqrt(end * size[0] / size[1]))
    for candidate in dict.fromkeys((isqrt(end), width, size[1])):
        if candidate and end % candidate == 0 and _is_plausible(other := (candidate, end // candidate), size):
            yield other


def _is_plausible(other: Size, size: Size) -> bool:
    width, height = other
    shapes = (width == height, width * size[1] == height * size[0], other == size[::-1])
    return other != size and min(other) >= _MIN_SIDE and any(shapes)


def _is_framed(mask: BoolMask, size: Size) -> bool:
    """Whether a flat mask sets all outermost pixels of an image of a size."""
    rows = mask.reshape(size[1], size[0])
    return bool(rows[[0, -1]].all() and rows[:, [0, -1]].all())


def _size_by_width(mask: BoolMask, size: Size) -> OtherSize | None:
    """The size whose width leaves the fewest changes between rows, if that is clearly another width.

    Args:
        mask: the flat mask, up to the end of its last run.
        size: width and height of its image.
    """
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    starts = edges[::2]
    if len(starts) < _MIN_RUNS:
        return None
    changes = {candidate: _changes(mask, candidate) for candidate in {size[0], *_distances(starts)}}
    width = min(changes, key=lambda candidate: (changes[candidate], abs(candidate - size[0])))
    ratio = max(width, size[0]) / min(width, size[0])
    if ratio < _MIN_RATIO or changes[width] > _MAX_CHANGES * changes[size[0]]:
        return None
    same_shape, lowest = round(width * size[1] / size[0]), -(-len(mask) // width)
    if len(mask) > size[0] * size[1]:
        return OtherSize((width, max(same_shape, lowest)), sure=True)
    # Stripes suggest a wrong width too; a smaller or turned image would hold the whole mask.
    height = size[0] if width == size[1] else same_shape
    fits = height >= lowest and (width < size[0] or width == size[1])
    return OtherSize((width, height), sure=False) if fits else None


def _distances(starts: NDArray[np.intp]) -> Iterator[int]:
    """The most common distances from start to start, for rows with one, two and three runs."""
    for lag in (1, 2, 3):
        counted = Counter((starts[lag:] - starts[:-lag]).tolist())
        yield from (distance for distance, _ in counted.most_common(2) if _MIN_SIDE <= distance <= _MAX_SIDE)


def _changes(mask: BoolMask, width: int) -> int:
    """Number of pixels of a flat mask that differ from the pixel above, in rows of a width."""
    return int(np.count_nonzero(mask[width:] != mask[:-width]))
