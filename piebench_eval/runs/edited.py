"""Edited pictures as metrics take them: in their source's size, or strips of panels of that size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.bench.images import centre_square, load_image, load_mask
from piebench_eval.bench.pictures import picture_size, read_picture
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from piebench_eval.bench.sample import Sample
    from piebench_eval.metrics.edits import Source
    from piebench_eval.runs.candidates import Candidate

_SMALLEST = 32
"""Side in pixels below which LPIPS and SSIM see nothing."""

_SHOWN = 20


def source_of(sample: Sample, side: int) -> Source:
    """A sample's side of the comparison, at the edits' resolution."""
    from piebench_eval.metrics.edits import Source

    return Source(
        image=load_image(sample.file, side),
        mask=load_mask(sample, side, frame=False),
        source_prompt=sample.marked_source_prompt,
        target_prompt=sample.marked_target_prompt,
    )


def read_edit(candidate: Candidate, resize: bool = False) -> NDArray[np.uint8]:
    """Read an edited picture in its source's size.

    Args:
        candidate: the edit.
        resize: bring a picture of another size to the source's, bicubically, instead of refusing it.

    Returns:
        ``[side, side, 3]``; or a strip of square panels ``[side, panels * side, 3]``, as the reference's
        scripts save them, the edit last.

    Raises:
        PiebenchError: the picture cannot be read, is too small, or has another size than its source.
    """
    picture = Image.fromarray(read_picture(candidate.file))
    if not candidate.follows_edit:
        source = picture_size(candidate.sample.file)
        if problem := _size_problem(candidate, picture.size, source, resize):
            raise PiebenchError(problem)
        target = fitting_size(picture.size, source) or picture.size
        if picture.size != target:
            picture = picture.resize(target, Image.Resampling.BICUBIC)
        if target == source:
            picture = centre_square(picture)
    if picture.height < _SMALLEST:
        raise PiebenchError(
            f"{candidate.file}: has a side of {picture.height} pixels; metrics need at least {_SMALLEST}"
        )
    return np.array(picture)


def fitting_size(size: tuple[int, int], source: tuple[int, int]) -> tuple[int, int] | None:
    """The size that an edit should have: its source's, or that of a strip of panels.

    Args:
        size: the edit's width and height.
        source: the source's.

    Returns:
        Width and height; None for an edit of another shape.

    >>> fitting_size((256, 256), (512, 512)), fitting_size((2048, 512), (512, 512))
    ((512, 512), (2048, 512))
    >>> fitting_size((500, 400), (512, 512))
    """
    width, height = size
    if width * source[1] == height * source[0]:
        return source
    side = min(source)
    return None if width % height else (width // height * side, side)


def check_sizes(candidates: Iterable[Candidate], resize: bool) -> list[str]:
    """Look at the sizes of pictures before anything is scored.

    Args:
        candidates: the pictures.
        resize: whether other sizes than the sources' are brought to those.

    Returns:
        Which pictures are resized, as ``id: WxH -> WxH``.

    Raises:
        PiebenchError: pictures of sizes that are not allowed; it lists them.
    """
    found, problems = [], []
    for candidate in candidates:
        if candidate.follows_edit:
            continue
        size, source = picture_size(candidate.file), picture_size(candidate.sample.file)
        if problem := _size_problem(candidate, size, source, resize):
            problems.append(problem)
        elif (target := fitting_size(size, source)) and target != size:
            found.append(f"{candidate.sample.id}: {size[0]}x{size[1]} -> {target[0]}x{target[1]}")
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise PiebenchError("\n".join([*problems[:_SHOWN], *more]))
    return found


def _size_problem(
    candidate: Candidate, size: tuple[int, int], source: tuple[int, int], resize: bool
) -> str | None:
    target = fitting_size(size, source)
    if target == size or (target is not None and resize):
        return None
    return (
        f"{candidate.file}: is {size[0]}x{size[1]}, but the source of id {candidate.sample.id} is "
        f"{source[0]}x{source[1]}; save the edit in the source's size"
        + (", or pass --resize" if target is not None else "")
    )
