"""Run-length encoded editing masks of PIE-Bench."""

from collections.abc import Sequence
from reprlib import repr as short

import numpy as np
from numpy.typing import NDArray

from piebench_eval.data.names import kind_of

BoolMask = NDArray[np.bool_]


def decode_rle(rle: Sequence[int], height: int, width: int, frame: bool = True) -> BoolMask:
    """Decode ``[start, length, start, length, ...]`` over the row-major flattened image.

    A run is clipped at the end of the image; runs may overlap and come in any order. The outermost
    one-pixel frame is set: the benchmark's own rule against annotation errors at the border.

    Args:
        rle: pairs of a start index and a length, in pixels.
        height: rows of the image.
        width: columns of the image.
        frame: whether the frame is set.

    Returns:
        Mask of shape ``[height, width]``, True where the picture should be edited.

    Raises:
        ValueError: an odd number of entries, or a negative start or length.

    >>> decode_rle([5, 2], 4, 4).astype(int).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    if problem := rle_problem(rle):
        raise ValueError(problem)
    size = height * width
    # Clipped before the conversion, which holds 64 bits only.
    runs = np.array([min(value, size) for value in rle], dtype=np.int64).reshape(-1, 2)
    starts = runs[:, 0]
    ends = np.minimum(starts + runs[:, 1], size)
    edges = np.bincount(starts, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    mask = (np.cumsum(edges[:size]) > 0).reshape(height, width)
    return set_frame(mask) if frame else mask


def encode_rle(mask: BoolMask) -> list[int]:
    """Encode a mask ``[height, width]`` as ``[start, length, start, length, ...]``.

    >>> encode_rle(np.array([[False, True, True], [True, False, False]]))
    [1, 3]
    """
    edges = np.flatnonzero(np.diff(mask.ravel().astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    return np.stack([starts, ends - starts], axis=1).ravel().tolist()


def set_frame(mask: BoolMask) -> BoolMask:
    """Set the outermost one-pixel frame of a mask ``[height, width]``, in place, and return it."""
    mask[[0, -1], :] = True
    mask[:, [0, -1]] = True
    return mask


def rle_problem(rle: object) -> str | None:
    """Say what keeps a value from being a run-length list, or None if it is one."""
    if not isinstance(rle, Sequence) or isinstance(rle, str):
        return f"must be a list of numbers (start, length, start, length, ...), not {kind_of(rle)}"
    wrong = next((value for value in rle if type(value) is not int), None)
    if wrong is not None:
        return f"must hold whole numbers only (start, length, start, length, ...), but holds {short(wrong)}"
    if len(rle) % 2:
        return f"has an odd number of entries ({len(rle)}); it needs pairs of start and length"
    negative = next((value for value in rle if value < 0), None)
    if negative is not None:
        return f"holds a negative number ({short(negative)}); starts and lengths count pixels"
    return None
