"""Edit masks: PIE-Bench's run-length lists, black and white images, and masks at the model's resolution."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as short
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from piebench_eval.data.images import ImageError, decode_image, image_size, resize, size_text
from piebench_eval.data.messages import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from piebench_eval.data.images import ImageLoader, Size
    from piebench_eval.data.sample import MaskRuns, Sample

BoolMask = NDArray[np.bool_]

_WHITE = 128
"""Lowest grey level that is marked; the maximum of the three channels counts."""


def decode_rle(rle: Sequence[int], height: int, width: int, frame: bool = False) -> BoolMask:
    """Decode ``[start, length, start, length, ...]`` over the row-major flattened image.

    A run is clipped at the end of the image; runs may overlap and come in any order. The frame is the
    benchmark's own rule against annotation errors at the border. Scoring decodes masks without it: the
    protocol adds it (``mask.frame``).

    Args:
        rle: pairs of a start index and a length, in pixels.
        height: rows of the image.
        width: columns of the image.
        frame: whether the outermost pixels are set as well.

    Returns:
        Mask of shape ``[height, width]``, True where the image should be edited.

    Raises:
        ValueError: an odd number of entries, or a negative start or length.

    >>> decode_rle([5, 2], 3, 4).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    >>> decode_rle([5, 2], 4, 4, frame=True).astype(int).tolist()
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


def decode_alternating(counts: Sequence[int], height: int, width: int, by_columns: bool = False) -> BoolMask:
    """Decode lengths of runs that are by turns outside and inside; what lies behind the last one is outside.

    PIE-Bench's masks are no such lists: this is what an evaluator sees that takes them for COCO's.

    Args:
        counts: lengths of the runs in pixels, clipped at the end of the image.
        height: rows of the image.
        width: columns of the image.
        by_columns: whether runs go down the columns, as COCO's do, instead of along the rows.

    Returns:
        Mask of shape ``[height, width]``, True inside.

    >>> decode_alternating([1, 2, 1, 1], 2, 3).astype(int).tolist()
    [[0, 1, 1], [0, 1, 0]]
    >>> decode_alternating([1, 2, 1, 1], 2, 3, by_columns=True).astype(int).tolist()
    [[0, 1, 1], [1, 0, 0]]
    """
    size = height * width
    lengths = np.array([min(count, size) for count in counts], dtype=np.int64)
    ends = np.minimum(np.cumsum(lengths), size)
    inside = np.cumsum(np.bincount(ends, minlength=size + 1)[:size]) % 2 == 1
    return inside.reshape(width, height).T.copy() if by_columns else inside.reshape(height, width)


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
    """Explain why a value is not a run-length list; None if it is one."""
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


def rle_end(rle: Sequence[int]) -> int:
    """The flat pixel index at which a mask's last run ends; 0 for an empty mask."""
    pairs = zip(rle[::2], rle[1::2], strict=True)
    return max((start + length for start, length in pairs if length), default=0)


def is_empty(rle: Sequence[int], size: Size) -> bool:
    """Whether a mask sets no pixel of an image; pixels past the image's end do not count."""
    area = size[0] * size[1]
    return not any(length and start < area for start, length in zip(rle[::2], rle[1::2], strict=True))


def scale_rle(rle: Sequence[int], made_for: Size, size: Size) -> tuple[int, ...]:
    """Resize a mask by the nearest pixels.

    Args:
        rle: run-length list over images of the size ``made_for``.
        made_for: width and height.
        size: width and height of the result.

    Returns:
        The run-length list; the given one if the sizes are equal.
    """
    if made_for == size:
        return tuple(rle)
    mask = Image.fromarray(decode_rle(rle, made_for[1], made_for[0]))
    return tuple(encode_rle(np.array(mask.resize(size, Image.Resampling.NEAREST))))


def load_mask(
    sample: Sample,
    resolution: int | None = None,
    loader: ImageLoader = "crop",
    frame: bool = False,
    multiple: int = 1,
    runs: MaskRuns = "start_length",
) -> BoolMask:
    """Decode a sample's mask and bring it to a resolution like its image, by the nearest pixels.

    Args:
        sample: whose mask.
        resolution: see ``load_image``.
        loader: how the image is brought to the resolution.
        frame: whether the outermost pixels are set as well; see ``decode_rle``.
        multiple: see ``load_image``.
        runs: what the mask's numbers are taken for.

    Returns:
        Mask ``[height, width]`` of the loaded image, True where it should be edited.

    Raises:
        PiebenchError: the image, which gives the mask's size, is missing or damaged.
    """
    width, height = image_size(sample.file)
    if runs == "start_length":
        decoded = decode_rle(sample.mask_rle, height, width)
    else:
        decoded = decode_alternating(sample.mask_rle, height, width, runs == "alternating_columns")
    stored = Image.fromarray(decoded)
    mask = resize(stored, resolution, loader, Image.Resampling.NEAREST, multiple)
    return set_frame(mask) if frame else mask


def read_mask_image(file: Path) -> BoolMask:
    """Read a black and white image as a mask.

    Returns:
        ``[height, width]``, True where the image is lighter than middle grey.

    Raises:
        ImageError: it cannot be read, or is dark everywhere without being black.
    """
    levels = decode_image(file).max(axis=2)
    lightest = int(levels.max())
    if 0 < lightest < _WHITE:
        raise ImageError(
            f"is dark everywhere (its lightest pixel has {lightest} of 255), so that nothing would be "
            "marked; save the mask in black and white"
        )
    return levels >= _WHITE


def mask_image_to_rle(file: Path, size: Size) -> tuple[int, ...]:
    """Read a black and white image of a size (width, height) as a run-length list.

    Raises:
        ImageError: it cannot be read, or has another size.
    """
    mask = read_mask_image(file)
    height, width = mask.shape
    if (width, height) != size:
        raise ImageError(
            f"the mask is {width}x{height}, but belongs to a picture of {size_text(size)}; save it in that "
            f"size, or pass --mask-size {width}x{height} if all masks have it"
        )
    return tuple(encode_rle(mask))
