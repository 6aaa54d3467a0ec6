"""Edited pictures and their sources as metrics take them: the same part of the picture in the same size."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from piebench_eval.data.images import ImageLoader, image_size, load_image, loaded_size, read_image
from piebench_eval.data.masks import load_mask
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.scoring.strips import last_panel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.edits import SourceImage
    from piebench_eval.scoring.edited_images import EditedImage

_SMALLEST = 32
"""Side in pixels below which LPIPS and SSIM see nothing."""

_SHOWN = 20

WHOLE: ImageLoader = "shorter_side"
"""The loader that, without a resolution, leaves a source as it is stored."""


def source_image_of(
    sample: Sample, resolution: int | None = None, loader: ImageLoader = "crop", ideal: Path | None = None
) -> SourceImage:
    """A sample's side of the comparison, picture, mask and ideal edit alike.

    Args:
        sample: the sample.
        resolution: see ``load_image``.
        loader: likewise.
        ideal: the file of its ideal edit, if that is asked for.
    """
    from piebench_eval.metrics.edits import SourceImage

    return SourceImage(
        image=load_image(sample.file, resolution, loader),
        mask=load_mask(sample, resolution, frame=False, loader=loader),
        source_prompt=sample.marked_source_prompt,
        target_prompt=sample.marked_target_prompt,
        ideal=None if ideal is None else load_image(ideal, resolution, loader),
    )


def source_view(edited_image: EditedImage, saved: NDArray[np.uint8]) -> tuple[int | None, ImageLoader]:
    """The resolution and the loader that bring a source to the pixels which were edited.

    They are the same for all loaders that leave the source as it is, so that its edits share what is computed
    of it.

    Args:
        edited_image: the edit.
        saved: from ``read_edit``.
    """
    height, width, _ = saved.shape
    source = image_size(edited_image.sample.file)
    panel = _panel(edited_image, (width, height), source)
    if edited_image.loader is None or panel == source:
        return None, WHOLE
    return min(panel), edited_image.loader


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
    sizes = (image_size(sample.file) for sample in samples)
    return different[:1] if all(width == height for width, height in sizes) else different


def read_edit(edited_image: EditedImage, resize: bool = False) -> NDArray[np.uint8]:
    """Read an edited picture.

    Args:
        edited_image: the edit.
        resize: bring an edit of a whole source to the source's size, bicubically, instead of refusing another
            size.

    Returns:
        ``[height, width, 3]``, the size of the source as ``source_view`` has it; or a strip of panels of that
        size ``[height, panels * width, 3]``, as the reference's scripts save them, the edit last; or several
        such rows, or panels with gaps between them, the edit at the bottom right.

    Raises:
        PiebenchError: the picture cannot be read, is too small, or has a size that it should not have.
    """
    picture = Image.fromarray(read_image(edited_image.file))
    source = image_size(edited_image.sample.file)
    if problem := _size_problem(edited_image, picture.size, source, resize):
        raise PiebenchError(problem)
    target = _target(edited_image, picture.size, source) or picture.size
    if picture.size != target and not _is_cut(edited_image, picture.size, source, resize):
        picture = picture.resize(target, Image.Resampling.BICUBIC)
    shortest = min(_panel(edited_image, picture.size, source))
    if shortest < _SMALLEST:
        raise PiebenchError(
            f"{edited_image.file}: has a side of {shortest} pixels; metrics need at least {_SMALLEST}"
        )
    return np.array(picture)


def edited_panel(edited_image: EditedImage) -> NDArray[np.uint8]:
    """An edited picture to look at, ``[height, width, 3]``: of a strip its last panel, in the source's size.

    Raises:
        PiebenchError: the picture cannot be read, is too small, or has a size that it should not have.
    """
    saved = read_edit(edited_image, resize=True)
    height, width, _ = saved.shape
    panels = _panels(edited_image, (width, height), image_size(edited_image.sample.file))
    return saved[:, -(width // panels) :]


def is_strip(edited_image: EditedImage) -> bool:
    """Whether an edit's file holds several panels."""
    size, source = image_size(edited_image.file), image_size(edited_image.sample.file)
    return _panels(edited_image, size, source) > 1 or _is_cut(edited_image, size, source)


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


def check_sizes(edited_images: Iterable[EditedImage], resize: bool) -> list[str]:
    """Look at the sizes of anybody's pictures before anything is scored.

    Args:
        edited_images: the pictures.
        resize: whether edits of whole sources are brought to the sources' sizes.

    Returns:
        Which pictures are resized, as ``id: WxH -> WxH``.

    Raises:
        PiebenchError: pictures of sizes that are not allowed; it lists them.
    """
    found, cut, problems = [], [], []
    for edited_image, size, source in _sizes(edited_images):
        sample_id, shape = edited_image.sample.id, f"{size[0]}x{size[1]}"
        if problem := _size_problem(edited_image, size, source, resize):
            problems.append(problem)
        elif _is_cut(edited_image, size, source, resize):
            cut.append(f"{sample_id}: {shape}")
        elif (target := _target(edited_image, size, source)) and target != size:
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
    edited_images: Iterable[EditedImage],
) -> Iterator[tuple[EditedImage, tuple[int, int], tuple[int, int]]]:
    """Anybody's pictures, with their own sizes and those of their sources."""
    for edited_image in edited_images:
        # Not a run's own: there are thousands, and reading one checks its size.
        if edited_image.loader is None or edited_image.may_be_strip:
            yield edited_image, image_size(edited_image.file), image_size(edited_image.sample.file)


def _panel(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the part of a picture that is the edit; the sizes are allowed."""
    if _target(edited_image, size, source) != size and (
        panel := last_panel(size, source, edited_image.loader, edited_image.may_be_strip)
    ):
        return panel
    return size[0] // _panels(edited_image, size, source), size[1]


def _is_cut(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int], resize: bool = False
) -> bool:
    """Whether the edit is the last of panels in several rows or with gaps between them.

    Args:
        edited_image: the edit.
        size: its width and height.
        source: its source's.
        resize: a strip that would fit in another size is one.
    """
    target = _target(edited_image, size, source)
    if target == size or (target is not None and resize and edited_image.loader is None):
        return False
    return last_panel(size, source, edited_image.loader, edited_image.may_be_strip) is not None


def _panels(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> int:
    """How many panels of the loaded source's shape an edit's file has room for."""
    if not edited_image.may_be_strip:
        return 1
    width, height = loaded_size(source, edited_image.loader or WHOLE)
    return max(1, round(size[0] * height / (size[1] * width)))


def _target(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]
) -> tuple[int, int] | None:
    return fitting_size(size, source, edited_image.loader, _panels(edited_image, size, source))


def _size_problem(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int], resize: bool
) -> str | None:
    target = _target(edited_image, size, source)
    if target == size or (target is not None and resize and edited_image.loader is None):
        return None
    if _is_cut(edited_image, size, source, resize):
        return None
    source_is = f"the source of id {edited_image.sample.id} is {source[0]}x{source[1]}"
    return (
        f"{edited_image.file}: is {size[0]}x{size[1]}, but {source_is}{_remedy(edited_image, size, source)}"
    )


def _remedy(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> str:
    """What to do about an edit of a size that it should not have."""
    if edited_image.loader is not None:
        way_out = (
            "give the one that made the edits" if edited_image.may_be_strip else "restore the run's picture"
        )
        return f", and image_loader={edited_image.loader} makes no such size of it; {way_out}"
    remedy = "; save the edit in the source's size"
    if _target(edited_image, size, source) is not None:
        return f"{remedy}, or pass --resize"
    fits = [loader for loader in get_args(ImageLoader) if fitting_size(size, source, loader)]
    return f"{remedy}, or pass the --image-loader that made it: {' or '.join(fits)}" if fits else remedy
