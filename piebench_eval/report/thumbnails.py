"""The report's pictures: thumbnails, sources as they were edited, outlines of masks."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from piebench_eval.data.images import load_image, read_image
from piebench_eval.data.masks import load_mask
from piebench_eval.report import paths
from piebench_eval.scoring.images import edited_panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.masks import BoolMask
    from piebench_eval.data.sample import Sample
    from piebench_eval.report.run import ScoredRun
    from piebench_eval.scoring.edited_images import EditedImage

THUMBNAIL_SIDE, COPY_SIDE = 160, 512
_THUMBNAIL_QUALITY, _COPY_QUALITY = 80, 90
_MAX_THREADS = 16

_LINE, _HALO = (255, 214, 0), (0, 0, 0)
"""Colours of an outline: one of them stands out from any picture."""
_LINE_WIDTH = 2
_OPACITIES = bytes([0, 255, 170])  # of what is neither, the line and its halo


@dataclass(frozen=True)
class Work:
    """A picture to read, and what to make of it; paths are relative to the report folder.

    Attributes:
        file: the picture.
        thumbnail: where its thumbnail goes.
        copy: where a larger copy goes, if one is wanted.
        outlined: the sample that the picture is the source of, where its mask's outline goes, and what
            loads both as they were edited; None for an edit.
        anybodys: the edit, if it is no run's: it may be a strip, or of another size than its source.
    """

    file: Path
    thumbnail: str
    copy: str | None = None
    outlined: tuple[Sample, str, ImageLoader] | None = None
    anybodys: EditedImage | None = None


def work_of(run: ScoredRun) -> list[Work]:
    """Every picture of a report: sources first, then edits."""
    sources = [
        Work(
            sample.file,
            paths.source_thumbnail(number, view),
            paths.source(number, view),
            (sample, paths.outline(number, view), loader),
        )
        for view, loader in enumerate(run.views)
        for number, sample in enumerate(run.samples)
    ]
    return sources + list(_edits(run))


def _edits(run: ScoredRun) -> Iterator[Work]:
    for index, combination in enumerate(run.combinations):
        for number, sample in enumerate(run.samples):
            pair = (combination.name, sample.id)
            if (file := run.pictures.get(pair)) is not None:
                copy = None if combination.is_of_run else paths.copy(index, number)
                anybodys = run.anybodys.get(pair)
                yield Work(file, paths.thumbnail(index, number), copy, anybodys=anybodys)


def make_pictures(work: list[Work], folder: Path, tell: Callable[[int, int], None]) -> None:
    """Make a report's pictures, several at a time.

    Args:
        work: what to make.
        folder: the report folder.
        tell: called with how many are done, and how many there are.

    Raises:
        PiebenchError: a picture is missing or damaged.
    """
    for place in {parent for item in work for parent in _folders(item, folder)}:
        place.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        futures = [pool.submit(_make, item, folder) for item in work]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            tell(done, len(work))
    finally:
        pool.shutdown(cancel_futures=True)


def _folders(work: Work, folder: Path) -> list[Path]:
    outline = work.outlined[1] if work.outlined else None
    return [(folder / path).parent for path in (work.thumbnail, work.copy, outline) if path]


def _make(work: Work, folder: Path) -> None:
    if work.outlined:
        sample, place, loader = work.outlined
        image = Image.fromarray(load_image(work.file, loader=loader))
        (folder / place).write_bytes(outline(load_mask(sample, frame=False, loader=loader)))
    else:
        edit = edited_panel(work.anybodys) if work.anybodys else read_image(work.file)
        image = Image.fromarray(edit)
    if work.copy:
        (folder / work.copy).write_bytes(_encoded(image, COPY_SIDE, _COPY_QUALITY))
    (folder / work.thumbnail).write_bytes(_encoded(image, THUMBNAIL_SIDE, _THUMBNAIL_QUALITY))


def _encoded(image: Image.Image, side: int, quality: int) -> bytes:
    """A picture of at most so many pixels a side; one of a thumbnail's size or less keeps every pixel."""
    lossless = max(image.size) <= THUMBNAIL_SIDE
    buffer = io.BytesIO()
    smaller = image.copy()
    smaller.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    smaller.save(buffer, "WEBP", lossless=lossless, quality=quality, method=2)
    return buffer.getvalue()


def outline(mask: BoolMask) -> bytes:
    """Draw a mask's outline as a PNG that is transparent elsewhere, with at least 512 pixels a side.

    Args:
        mask: ``[height, width]``, True where the picture should be edited.
    """
    factor = -(-COPY_SIDE // min(mask.shape))
    mask = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    line = mask & ~ndimage.binary_erosion(mask, iterations=_LINE_WIDTH)
    halo = ndimage.binary_dilation(mask, iterations=_LINE_WIDTH) & ~mask
    colours = line.astype(np.uint8) + 2 * halo.astype(np.uint8)
    image = Image.frombytes("P", colours.shape[::-1], colours.tobytes())
    image.putpalette([0, 0, 0, *_LINE, *_HALO])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=_OPACITIES)
    return buffer.getvalue()
