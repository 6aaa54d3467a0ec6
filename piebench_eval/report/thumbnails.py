"""Write the report's images: thumbnails, source images as loaded, mask outlines."""

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
from piebench_eval.scoring.images import load_edit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.masks import BoolMask
    from piebench_eval.data.sample import Sample
    from piebench_eval.report.content import ReportContent
    from piebench_eval.scoring.edited_images import EditedImage

THUMBNAIL_SIDE, COPY_SIDE = 160, 512
_THUMBNAIL_QUALITY, _COPY_QUALITY = 80, 90
_MAX_THREADS = 16

_LINE, _HALO = (255, 214, 0), (0, 0, 0)
"""Colours of an outline and its halo, one of which contrasts with any image."""
_LINE_WIDTH = 2
_OPACITIES = bytes([0, 255, 170])  # of the background, the outline and its halo


@dataclass(frozen=True)
class ThumbnailJob:
    """An image to read and the files to make from it; paths are relative to the report folder.

    Attributes:
        file: the image.
        thumbnail: path of its thumbnail.
        copy: path of a larger copy, if there is to be one.
        outlined: of a source image: its sample, the path of its mask's outline, and the image loader; None
            for an edit.
        external: the edit, if it is of a scored folder: it may be a strip, or of another size than its
            source.
    """

    file: Path
    thumbnail: str
    copy: str | None = None
    outlined: tuple[Sample, str, ImageLoader] | None = None
    external: EditedImage | None = None


def thumbnail_jobs(content: ReportContent) -> list[ThumbnailJob]:
    """The images of a report: sources first, then edits."""
    sources = [
        ThumbnailJob(
            sample.file,
            paths.source_thumbnail(number, view),
            paths.source(number, view),
            (sample, paths.outline(number, view), loader),
        )
        for view, loader in enumerate(content.views)
        for number, sample in enumerate(content.samples)
    ]
    return sources + list(_edits(content))


def _edits(content: ReportContent) -> Iterator[ThumbnailJob]:
    for index, combination in enumerate(content.combinations):
        for number, sample in enumerate(content.samples):
            pair = (combination.name, sample.id)
            if (file := content.pictures.get(pair)) is not None:
                copy = None if combination.is_of_run else paths.copy(index, number)
                external = content.external.get(pair)
                yield ThumbnailJob(file, paths.thumbnail(index, number), copy, external=external)


def make_pictures(jobs: list[ThumbnailJob], folder: Path, on_progress: Callable[[int, int], None]) -> None:
    """Write a report's images in several threads.

    Args:
        jobs: the images.
        folder: the report folder.
        on_progress: called with the numbers of finished and of all images.

    Raises:
        PiebenchError: an image is missing or damaged.
    """
    for parent_folder in {parent for job in jobs for parent in _folders(job, folder)}:
        parent_folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        futures = [pool.submit(_make, job, folder) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            on_progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _folders(job: ThumbnailJob, folder: Path) -> list[Path]:
    outline = job.outlined[1] if job.outlined else None
    return [(folder / path).parent for path in (job.thumbnail, job.copy, outline) if path]


def _make(job: ThumbnailJob, folder: Path) -> None:
    if job.outlined:
        sample, outline_path, loader = job.outlined
        image = Image.fromarray(load_image(job.file, loader=loader))
        (folder / outline_path).write_bytes(outline(load_mask(sample, loader=loader)))
    else:
        edit = load_edit(job.external, resize=True).panel if job.external else read_image(job.file)
        image = Image.fromarray(edit)
    if job.copy:
        (folder / job.copy).write_bytes(_encoded(image, COPY_SIDE, _COPY_QUALITY))
    (folder / job.thumbnail).write_bytes(_encoded(image, THUMBNAIL_SIDE, _THUMBNAIL_QUALITY))


def _encoded(image: Image.Image, side: int, quality: int) -> bytes:
    """Encode as WebP with at most ``side`` pixels a side; lossless up to a thumbnail's size."""
    lossless = max(image.size) <= THUMBNAIL_SIDE
    buffer = io.BytesIO()
    smaller = image.copy()
    smaller.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    smaller.save(buffer, "WEBP", lossless=lossless, quality=quality, method=2)
    return buffer.getvalue()


def outline(mask: BoolMask) -> bytes:
    """Draw a mask's outline as a PNG that is transparent elsewhere, with at least 512 pixels a side.

    Args:
        mask: ``[height, width]``, True where the image is to be edited.
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
