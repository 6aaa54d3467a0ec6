"""Edited pictures and their sources as metrics take them: the same part of the picture in the same size."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from piebench_eval.data.image_files import picture_size, read_picture
from piebench_eval.data.images import ImageLoader, load_image, load_mask, loaded_size
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.scoring.strips import last_panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.edits import Source
    from piebench_eval.scoring.edited_images import Candidate

_SMALLEST = 32
"""Side in pixels below which LPIPS and SSIM see nothing."""

_SHOWN = 20

WHOLE: ImageLoader = "shorter_side"
"""The loader that, without a resolution, leaves a source as it is stored."""


def source_of(
    sample: Sample, resolution: int | None = None, loader: ImageLoader = "crop", ideal: Path | None = None
) -> Source:
    """A sample's side of the comparison, picture, mask and ideal edit alike.

    Args:
        sample: the sample.
        resolution: see ``load_image``.
        loader: likewise.
        ideal: the file of its ideal edit, if that is asked for.
    """
    from piebench_eval.metrics.edits import Source

    return Source(
        image=load_image(sample.file, resolution, loader),
        mask=load_mask(sample, resolution, frame=False, loader=loader),
        source_prompt=sample.marked_source_prompt,
        target_prompt=sample.marked_target_prompt,
        ideal=None if ideal is None else load_image(ideal, resolution, loader),
    )


def source_view(candidate: Candidate, saved: NDArray[np.uint8]) -> tuple[int | None, ImageLoader]:
    """The resolution and the loader that bring a source to the pixels which were edited.

    They are the same for all loaders that leave the source as it is, so that its edits share what is computed
    of it.

    Args:
        candidate: the edit.
        saved: from ``read_edit``.
    """
    height, width, _ = saved.shape
    source = picture_size(candidate.sample.file)
    panel = _panel(candidate, (width, height), source)
    if candidate.loader is None or panel == source:
        return None, WHOLE
    return min(panel), candidate.loader


def different_views(loaders: Iterable[ImageLoader], samples: Iterable[Sample]) -> list[ImageLoader]:
    """The loaders that show different parts of some source; the first stands for all of square sources.

    Args:
        loaders: those that edits were made with.
        samples: what was edited.

    Raises:
        PiebenchError: a source is missing or damaged.
    """
    different = list(dict.fromkeys(loaders))
    if len(different) < 2:
        return different
    sizes = (picture_size(sample.file) for sample in samples)
    return different[:1] if all(width == height for width, height in sizes) else different


def read_edit(candidate: Candidate, resize: bool = False) -> NDArray[np.uint8]:
    """Read an edited picture.

    Args:
        candidate: the edit.
        resize: bring an edit of a whole source to the source's size, bicubically, instead of refusing another
            size.

    Returns:
        ``[height, width, 3]``, the size of the source as ``source_view`` has it; or a strip of panels of that
        size ``[height, panels * width, 3]``, as the reference's scripts save them, the edit last; or several
        such rows, or panels with gaps between them, the edit at the bottom right.

    Raises:
        PiebenchError: the picture cannot be read, is too small, or has a size that it should not have.
    """
    picture = Image.fromarray(read_picture(candidate.file))
    source = picture_size(candidate.sample.file)
    if problem := _size_problem(candidate, picture.size, source, resize):
        raise PiebenchError(problem)
    target = _target(candidate, picture.size, source) or picture.size
    if picture.size != target and not _is_cut(candidate, picture.size, source, resize):
        picture = picture.resize(target, Image.Resampling.BICUBIC)
    shortest = min(_panel(candidate, picture.size, source))
    if shortest < _SMALLEST:
        raise PiebenchError(
            f"{candidate.file}: has a side of {shortest} pixels; metrics need at least {_SMALLEST}"
        )
    return np.array(picture)


def edited_panel(candidate: Candidate) -> NDArray[np.uint8]:
    """An edited picture to look at, ``[height, width, 3]``: of a strip its last panel, in the source's size.

    Raises:
        PiebenchError: the picture cannot be read, is too small, or has a size that it should not have.
    """
    saved = read_edit(candidate, resize=True)
    height, width, _ = saved.shape
    panels = _panels(candidate, (width, height), picture_size(candidate.sample.file))
    return saved[:, -(width // panels) :]


def is_strip(candidate: Candidate) -> bool:
    """Whether an edit's file holds several panels."""
    size, source = picture_size(candidate.file), picture_size(candidate.sample.file)
    return _panels(candidate, size, source) > 1 or _is_cut(candidate, size, source)


def fitting_size(
    size: tuple[int, int], source: tuple[int, int], loader: ImageLoader | None = None, panels: int = 1
) -> tuple[int, int] | None:
    """The size that an edit should have: that of its source as it was edited, or of a strip of such panels.

    Args:
        size: the edit's width and height.
        source: the source's.
        loader: how the source was brought to the edit's resolution; None for an edit of the whole source.
        panels: how many the strip has.

    Returns:
        Width and height; None for an edit of another shape.

    >>> fitting_size((256, 256), (512, 512)), fitting_size((2048, 512), (512, 512), panels=4)
    ((512, 512), (2048, 512))
    >>> fitting_size((512, 512), (640, 480), "crop")
    (512, 512)
    >>> fitting_size((512, 512), (640, 480))
    """
    width, height = size
    if loader is None:
        same_shape = width * source[1] == panels * height * source[0]
        return (panels * source[0], source[1]) if same_shape else None
    panel = (width // panels, height)
    is_loaded = width % panels == 0 and loaded_size(source, loader, min(panel)) == panel
    return size if is_loaded else None


def check_sizes(candidates: Iterable[Candidate], resize: bool) -> list[str]:
    """Look at the sizes of anybody's pictures before anything is scored.

    Args:
        candidates: the pictures.
        resize: whether edits of whole sources are brought to the sources' sizes.

    Returns:
        Which pictures are resized, as ``id: WxH -> WxH``.

    Raises:
        PiebenchError: pictures of sizes that are not allowed; it lists them.
    """
    found, cut, problems = [], [], []
    for candidate, size, source in _sizes(candidates):
        sample_id, shape = candidate.sample.id, f"{size[0]}x{size[1]}"
        if problem := _size_problem(candidate, size, source, resize):
            problems.append(problem)
        elif _is_cut(candidate, size, source, resize):
            cut.append(f"{sample_id}: {shape}")
        elif (target := _target(candidate, size, source)) and target != size:
            found.append(f"{sample_id}: {shape} -> {target[0]}x{target[1]}")
    if problems:
        raise PiebenchError("\n".join(_first(problems)))
    if cut:
        warnings.warn(
            f"edits taken for panels in rows or with gaps: {len(cut)} ({'; '.join(_first(cut))}); the last "
            "panel, at the bottom right, is scored, as the official evaluator cuts it. If they are something "
            "else, save the edits in their sources' size, or pass --resize for strips of another resolution",
            PiebenchWarning,
            stacklevel=2,
        )
    return found


def _first(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]


def _sizes(
    candidates: Iterable[Candidate],
) -> Iterator[tuple[Candidate, tuple[int, int], tuple[int, int]]]:
    """Anybody's pictures, with their own sizes and those of their sources."""
    for candidate in candidates:
        # Not a run's own: there are thousands, and reading one checks its size.
        if candidate.loader is None or candidate.may_be_strip:
            yield candidate, picture_size(candidate.file), picture_size(candidate.sample.file)


def _panel(candidate: Candidate, size: tuple[int, int], source: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the part of a picture that is the edit; the sizes are allowed."""
    if _target(candidate, size, source) != size and (
        panel := last_panel(size, source, candidate.loader, candidate.may_be_strip)
    ):
        return panel
    return size[0] // _panels(candidate, size, source), size[1]


def _is_cut(
    candidate: Candidate, size: tuple[int, int], source: tuple[int, int], resize: bool = False
) -> bool:
    """Whether the edit is the last of panels in several rows or with gaps between them.

    Args:
        candidate: the edit.
        size: its width and height.
        source: its source's.
        resize: a strip that would fit in another size is one.
    """
    target = _target(candidate, size, source)
    if target == size or (target is not None and resize and candidate.loader is None):
        return False
    return last_panel(size, source, candidate.loader, candidate.may_be_strip) is not None


def _panels(candidate: Candidate, size: tuple[int, int], source: tuple[int, int]) -> int:
    """How many panels of the loaded source's shape an edit's file has room for."""
    if not candidate.may_be_strip:
        return 1
    width, height = loaded_size(source, candidate.loader or WHOLE)
    return max(1, round(size[0] * height / (size[1] * width)))


def _target(candidate: Candidate, size: tuple[int, int], source: tuple[int, int]) -> tuple[int, int] | None:
    return fitting_size(size, source, candidate.loader, _panels(candidate, size, source))


def _size_problem(
    candidate: Candidate, size: tuple[int, int], source: tuple[int, int], resize: bool
) -> str | None:
    target = _target(candidate, size, source)
    if target == size or (target is not None and resize and candidate.loader is None):
        return None
    if _is_cut(candidate, size, source, resize):
        return None
    source_is = f"the source of id {candidate.sample.id} is {source[0]}x{source[1]}"
    return f"{candidate.file}: is {size[0]}x{size[1]}, but {source_is}{_remedy(candidate, size, source)}"


def _remedy(candidate: Candidate, size: tuple[int, int], source: tuple[int, int]) -> str:
    """What to do about an edit of a size that it should not have."""
    if candidate.loader is not None:
        way_out = (
            "give the one that made the edits" if candidate.may_be_strip else "restore the run's picture"
        )
        return f", and image_loader={candidate.loader} makes no such size of it; {way_out}"
    remedy = "; save the edit in the source's size"
    if _target(candidate, size, source) is not None:
        return f"{remedy}, or pass --resize"
    fits = [loader for loader in get_args(ImageLoader) if fitting_size(size, source, loader)]
    return f"{remedy}, or pass the --image-loader that made it: {' or '.join(fits)}" if fits else remedy
