"""Load edited images, and their sources and masks at the same pixels."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from piebench_eval.data.images import image_size, load_image, read_image, size_text
from piebench_eval.data.masks import load_mask
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.metrics.resizing import resized
from piebench_eval.scoring.edit_layout import edit_layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.sample import Sample
    from piebench_eval.metrics.scoring_batch import SourceImage
    from piebench_eval.scoring.edit_layout import EditLayout
    from piebench_eval.scoring.edited_images import EditedImage

_SMALLEST = 32
"""Smallest side in pixels that LPIPS and SSIM can score."""

_SHOWN = 20


@dataclass(frozen=True)
class LoadedEdit:
    """An edited image that was read.

    Attributes:
        saved: ``[height, width, 3]``, as in the file.
        layout: where the edit lies in it.
    """

    saved: NDArray[np.uint8]
    layout: EditLayout

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Of the size ``layout.size``, resized bicubically: the edit, or a strip with the edit at its end."""
        return resized(self.saved, self.layout.size, "bicubic")

    @property
    def panel(self) -> NDArray[np.uint8]:
        """The edit alone, ``[height, width, 3]``."""
        width, height = self.layout.panel
        return self.pixels[-height:, -width:]


def load_source(
    sample: Sample,
    resolution: int | None = None,
    loader: ImageLoader = "crop",
    ideal: Path | None = None,
    multiple: int = 1,
) -> SourceImage:
    """Load a sample's source image, mask and ideal edit at a resolution.

    The mask is the annotated one, without the frame; the protocol adds the frame.

    Args:
        sample: the sample.
        resolution: see ``load_image``.
        loader: likewise.
        ideal: file of its ideal edit, if a metric needs it.
        multiple: see ``load_image``.
    """
    from piebench_eval.metrics.scoring_batch import SourceImage

    return SourceImage(
        image=load_image(sample.file, resolution, loader, multiple=multiple),
        mask=load_mask(sample, resolution, loader, multiple=multiple),
        source_prompt=sample.marked_source_prompt,
        target_prompt=sample.marked_target_prompt,
        ideal=None if ideal is None else load_image(ideal, resolution, loader, multiple=multiple),
        instruction=sample.instruction,
        read_mask=lambda runs: load_mask(sample, resolution, loader, multiple=multiple, runs=runs),
    )


def load_edit(edited_image: EditedImage, resize: bool = False) -> LoadedEdit:
    """Read an edited image.

    Args:
        edited_image: the edit.
        resize: accept an edit of a whole source in another size than the source's, which it is scored in.

    Raises:
        PiebenchError: the image cannot be read, is too small, or has another size than its source as edited.
    """
    saved = read_image(edited_image.file)
    size = (saved.shape[1], saved.shape[0])
    layout = edit_layout(edited_image, size, image_size(edited_image.sample.file), resize)
    shortest = min(layout.panel)
    if shortest < _SMALLEST:
        raise PiebenchError(
            f"{edited_image.file}: has a side of {shortest} pixels; metrics need at least {_SMALLEST}"
        )
    return LoadedEdit(saved, layout)


def is_strip(edited_image: EditedImage) -> bool:
    """Whether an edit's file is a strip of panels; of the sizes that ``check_sizes`` accepts with ``resize``.

    Raises:
        PiebenchError: the file cannot be read, or has another size than its source as edited.
    """
    if not edited_image.may_be_strip:
        return False
    size, source = image_size(edited_image.file), image_size(edited_image.sample.file)
    return edit_layout(edited_image, size, source, resize=True).is_strip


def is_resized(edited_image: EditedImage) -> bool:
    """Whether an edit has another size than its source, and is resized where that is accepted.

    Raises:
        PiebenchError: the file cannot be read, or has another size than its source as edited.
    """
    size, source = image_size(edited_image.file), image_size(edited_image.sample.file)
    return edit_layout(edited_image, size, source, resize=True).is_resized


def check_sizes(edited_images: Iterable[EditedImage], resize: bool) -> list[str]:
    """Check the sizes of edited images before anything is scored.

    Args:
        edited_images: the images; a run's own may be thousands, and are checked when they are read.
        resize: whether edits of whole sources are resized to the sources' sizes.

    Returns:
        The images that are resized, as ``id: WxH -> WxH``.

    Raises:
        PiebenchError: images have wrong sizes; the message lists them.
    """
    resized, cut_out, problems = [], [], []
    for edited_image in edited_images:
        if edited_image.loader is not None and not edited_image.may_be_strip:
            continue
        size, source = image_size(edited_image.file), image_size(edited_image.sample.file)
        try:
            layout = edit_layout(edited_image, size, source, resize)
        except PiebenchError as error:
            problems.append(str(error))
            continue
        line = f"{edited_image.sample.id}: {size_text(size)}"
        if layout.is_cut_out:
            cut_out.append(line)
        elif layout.is_resized:
            resized.append(f"{line} -> {size_text(layout.size)}")
    if problems:
        raise PiebenchError("\n".join(_shortened(problems)))
    if cut_out:
        warnings.warn(
            f"edits read as panels in rows or with gaps: {len(cut_out)} ({'; '.join(_shortened(cut_out))}); "
            "the last panel, at the bottom right, is scored, as the official evaluator cuts it. If they are "
            "something else, save the edits in their sources' size, or pass --resize for strips of another "
            "resolution",
            PiebenchWarning,
            stacklevel=2,
        )
    return resized


def _shortened(lines: Sequence[str]) -> list[str]:
    """The first lines, and a last one with the number of the others."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]
