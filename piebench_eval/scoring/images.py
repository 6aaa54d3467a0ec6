"""Load edited images and their sources at the evaluation resolution."""

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
    from piebench_eval.metrics.edit_batch import SourceImage
    from piebench_eval.scoring.edited_images import EditedImage

_SMALLEST = 32
"""Smallest side in pixels that LPIPS and SSIM can score."""

_SHOWN = 20

WHOLE: ImageLoader = "shorter_side"
"""The loader that leaves a source as it is if no resolution is given."""


def source_image_of(
    sample: Sample, resolution: int | None = None, loader: ImageLoader = "crop", ideal: Path | None = None
) -> SourceImage:
    """Load a sample's source image, mask and ideal edit at a resolution.

    Args:
        sample: the sample.
        resolution: see ``load_image``.
        loader: likewise.
        ideal: file of its ideal edit, if a metric needs it.
    """
    from piebench_eval.metrics.edit_batch import SourceImage

    return SourceImage(
        image=load_image(sample.file, resolution, loader),
        mask=load_mask(sample, resolution, frame=False, loader=loader),
        source_prompt=sample.marked_source_prompt,
        target_prompt=sample.marked_target_prompt,
        ideal=None if ideal is None else load_image(ideal, resolution, loader),
    )


def source_view(edited_image: EditedImage, pixels: NDArray[np.uint8]) -> tuple[int | None, ImageLoader]:
    """The resolution and the loader that bring a source to the pixels that were edited.

    Loaders that leave the source as it is all give ``(None, WHOLE)``, so that its edits share intermediate
    results.

    Args:
        edited_image: the edit.
        pixels: from ``read_edit``.
    """
    height, width, _ = pixels.shape
    source = image_size(edited_image.sample.file)
    panel = _edit_size(edited_image, (width, height), source)
    if edited_image.loader is None or panel == source:
        return None, WHOLE
    return min(panel), edited_image.loader


def different_views(loaders: Iterable[ImageLoader], samples: Iterable[Sample]) -> list[ImageLoader]:
    """The loaders that give different images of some source; for square sources all are equal.

    Args:
        loaders: the loaders that edits were made with.
        samples: the edited samples.

    Raises:
        PiebenchError: a source is missing or damaged.
    """
    different = list(dict.fromkeys(loaders))
    if len(different) < 2:
        return different
    sizes = (image_size(sample.file) for sample in samples)
    return different[:1] if all(width == height for width, height in sizes) else different


def read_edit(edited_image: EditedImage, resize: bool = False) -> NDArray[np.uint8]:
    """Read an edited image.

    Args:
        edited_image: the edit.
        resize: resize an edit of a whole source bicubically to the source's size instead of refusing
            another size.

    Returns:
        ``[height, width, 3]``, the size of the source as ``source_view`` has it; or a strip of panels of that
        size ``[height, panels * width, 3]``, as the reference's scripts save them, the edit last; or several
        such rows, or panels with gaps between them, the edit at the bottom right.

    Raises:
        PiebenchError: the image cannot be read, is too small, or has another size than its source as edited.
    """
    picture = Image.fromarray(read_image(edited_image.file))
    source = image_size(edited_image.sample.file)
    if problem := _size_problem(edited_image, picture.size, source, resize):
        raise PiebenchError(problem)
    target = _expected_size(edited_image, picture.size, source) or picture.size
    if picture.size != target and not _is_last_panel(edited_image, picture.size, source, resize):
        picture = picture.resize(target, Image.Resampling.BICUBIC)
    shortest = min(_edit_size(edited_image, picture.size, source))
    if shortest < _SMALLEST:
        raise PiebenchError(
            f"{edited_image.file}: has a side of {shortest} pixels; metrics need at least {_SMALLEST}"
        )
    return np.array(picture)


def edited_panel(edited_image: EditedImage) -> NDArray[np.uint8]:
    """An edited image to show, ``[height, width, 3]``: the last panel of a strip, in the source's size.

    Raises:
        PiebenchError: the image cannot be read, is too small, or has another size than its source as edited.
    """
    pixels = read_edit(edited_image, resize=True)
    height, width, _ = pixels.shape
    panels = _panel_count(edited_image, (width, height), image_size(edited_image.sample.file))
    return pixels[:, -(width // panels) :]


def is_strip(edited_image: EditedImage) -> bool:
    """Whether an edit's file is a strip of panels."""
    size, source = image_size(edited_image.file), image_size(edited_image.sample.file)
    return _panel_count(edited_image, size, source) > 1 or _is_last_panel(edited_image, size, source)


def fitting_size(
    size: tuple[int, int], source: tuple[int, int], loader: ImageLoader | None = None, panels: int = 1
) -> tuple[int, int] | None:
    """The size that an edit should have: its source's as it was edited, or a strip of such panels.

    Args:
        size: the edit's width and height.
        source: the source's.
        loader: how the source was loaded when it was edited; None for an edit of the whole source.
        panels: number of panels of the strip.

    Returns:
        Width and height; None if the edit has another aspect ratio.

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
    """Check the sizes of edited images before anything is scored.

    Args:
        edited_images: the images; a run's own are checked when they are read.
        resize: whether edits of whole sources are resized to the sources' sizes.

    Returns:
        The images that are resized, as ``id: WxH -> WxH``.

    Raises:
        PiebenchError: images have wrong sizes; the message lists them.
    """
    found, cut, problems = [], [], []
    for edited_image, size, source in _sizes(edited_images):
        sample_id, shape = edited_image.sample.id, f"{size[0]}x{size[1]}"
        if problem := _size_problem(edited_image, size, source, resize):
            problems.append(problem)
        elif _is_last_panel(edited_image, size, source, resize):
            cut.append(f"{sample_id}: {shape}")
        elif (target := _expected_size(edited_image, size, source)) and target != size:
            found.append(f"{sample_id}: {shape} -> {target[0]}x{target[1]}")
    if problems:
        raise PiebenchError("\n".join(_shortened(problems)))
    if cut:
        warnings.warn(
            f"edits read as panels in rows or with gaps: {len(cut)} ({'; '.join(_shortened(cut))}); the last "
            "panel, at the bottom right, is scored, as the official evaluator cuts it. If they are something "
            "else, save the edits in their sources' size, or pass --resize for strips of another resolution",
            PiebenchWarning,
            stacklevel=2,
        )
    return found


def _shortened(lines: Sequence[str]) -> list[str]:
    """The first lines, and a last one with the number of the others."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]


def _sizes(
    edited_images: Iterable[EditedImage],
) -> Iterator[tuple[EditedImage, tuple[int, int], tuple[int, int]]]:
    """Images that a run did not make, each with its size and its source's."""
    for edited_image in edited_images:
        # A run's own may be thousands, and are checked when they are read.
        if edited_image.loader is None or edited_image.may_be_strip:
            yield edited_image, image_size(edited_image.file), image_size(edited_image.sample.file)


def _edit_size(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the edit in an image whose size was checked."""
    if _expected_size(edited_image, size, source) != size and (
        panel := last_panel(size, source, edited_image.loader, edited_image.may_be_strip)
    ):
        return panel
    return size[0] // _panel_count(edited_image, size, source), size[1]


def _is_last_panel(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int], resize: bool = False
) -> bool:
    """Whether the edit is the last of several panels in rows or with gaps.

    Args:
        edited_image: the edit.
        size: the image's width and height.
        source: the source's.
        resize: whether a strip without gaps of another resolution is resized instead.
    """
    target = _expected_size(edited_image, size, source)
    if target == size or (target is not None and resize and edited_image.loader is None):
        return False
    return last_panel(size, source, edited_image.loader, edited_image.may_be_strip) is not None


def _panel_count(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> int:
    """Number of panels with the loaded source's aspect ratio that fit in an edit's file."""
    if not edited_image.may_be_strip:
        return 1
    width, height = loaded_size(source, edited_image.loader or WHOLE)
    return max(1, round(size[0] * height / (size[1] * width)))


def _expected_size(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]
) -> tuple[int, int] | None:
    return fitting_size(size, source, edited_image.loader, _panel_count(edited_image, size, source))


def _size_problem(
    edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int], resize: bool
) -> str | None:
    target = _expected_size(edited_image, size, source)
    if target == size or (target is not None and resize and edited_image.loader is None):
        return None
    if _is_last_panel(edited_image, size, source, resize):
        return None
    source_is = f"the source of id {edited_image.sample.id} is {source[0]}x{source[1]}"
    return (
        f"{edited_image.file}: is {size[0]}x{size[1]}, but {source_is}{_remedy(edited_image, size, source)}"
    )


def _remedy(edited_image: EditedImage, size: tuple[int, int], source: tuple[int, int]) -> str:
    """What to do about an edit of a wrong size, as the end of a message."""
    if edited_image.loader is not None:
        way_out = (
            "give the one that made the edits" if edited_image.may_be_strip else "restore the run's picture"
        )
        return f", and image_loader={edited_image.loader} does not give this size; {way_out}"
    remedy = "; save the edit in the source's size"
    if _expected_size(edited_image, size, source) is not None:
        return f"{remedy}, or pass --resize"
    fits = [loader for loader in get_args(ImageLoader) if fitting_size(size, source, loader)]
    return f"{remedy}, or pass the --image-loader that made it: {' or '.join(fits)}" if fits else remedy
