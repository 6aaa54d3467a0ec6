"""Where an edit lies in its image file, decided from the sizes of the file and of its source.

An edit of a source of 512x512 pixels may come as:

- a file of 512x512 pixels;
- a strip without gaps, as the reference's scripts save it: 2048x512, four panels, the last is the edit;
- panels with gaps or in rows: 1536x1024 or 1034x512; the panel at the bottom right is the edit;
- either of the first two in another resolution, such as 256x256: resized, if that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from piebench_eval.data.images import KEEPS_SIZE, WHOLE_IMAGE, ImageLoader, loaded_size, size_text
from piebench_eval.errors import PiebenchError
from piebench_eval.scoring.strips import cut_multiple, last_panel

if TYPE_CHECKING:
    from piebench_eval.data.images import Size
    from piebench_eval.scoring.edited_images import EditedImage


@dataclass(frozen=True)
class EditLayout:
    """Where the edit lies in an image file, and how its source is brought to the same pixels.

    Attributes:
        file_size: width and height of the file.
        size: width and height that the file is scored in; another than ``file_size`` if it is resized.
        panel: width and height of the edit, at the bottom right of the image in ``size``.
        is_cut_out: whether panels have gaps between them or lie in rows, so that the edit is cut out as the
            official evaluator does.
        resolution: shorter side that the source is loaded at; None for its own.
        loader: how the source is loaded; ``WHOLE_IMAGE`` where that leaves it as it is, so that all such
            edits share a source.
        multiple: what the source's sides are cut to multiples of, by a loader that keeps sizes.
    """

    file_size: Size
    size: Size
    panel: Size
    is_cut_out: bool
    resolution: int | None
    loader: ImageLoader
    multiple: int = 1

    @property
    def is_strip(self) -> bool:
        """Whether the file holds several panels."""
        return self.panel != self.size

    @property
    def is_resized(self) -> bool:
        """Whether the file is brought to another resolution."""
        return self.size != self.file_size


def edit_layout(edited_image: EditedImage, size: Size, source: Size, resize: bool = False) -> EditLayout:
    """Decide where an edit lies in its file.

    Args:
        edited_image: the edit.
        size: width and height of its file.
        source: the source's.
        resize: whether an edit of a whole source may be resized to the source's resolution.

    Raises:
        PiebenchError: the file has another size than its source as edited.
    """
    loader, may_be_strip = edited_image.loader, edited_image.may_be_strip
    panels = _panel_count(size, source, loader) if may_be_strip else 1
    fitting = fitting_size(size, source, loader, panels)
    cut_out = None
    if fitting == size or (fitting is not None and resize and loader is None):
        panel = (fitting[0] // panels, fitting[1])
    elif may_be_strip and (cut_out := last_panel(size, source, loader)):
        fitting, panel = size, cut_out
    else:
        raise PiebenchError(
            f"{edited_image.file}: is {size_text(size)}, but the source of id {edited_image.sample.id} is "
            f"{size_text(source)}{_remedy(edited_image, size, source, fitting is not None)}"
        )
    is_whole = loader is None or panel == source
    return EditLayout(
        file_size=size,
        size=fitting,
        panel=panel,
        is_cut_out=cut_out is not None,
        resolution=None if is_whole else min(panel),
        loader=WHOLE_IMAGE if is_whole or loader is None else loader,
        multiple=1 if is_whole else cut_multiple(source, panel) or 1,
    )


def fitting_size(size: Size, source: Size, loader: ImageLoader | None = None, panels: int = 1) -> Size | None:
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
    if loader == KEEPS_SIZE:
        is_loaded = cut_multiple(source, panel) is not None
    else:
        is_loaded = loaded_size(source, loader, min(panel)) == panel
    return size if is_loaded and width % panels == 0 else None


def _panel_count(size: Size, source: Size, loader: ImageLoader | None) -> int:
    """Number of panels with the loaded source's aspect ratio that fit side by side."""
    width, height = loaded_size(source, loader or WHOLE_IMAGE)
    return max(1, round(size[0] * height / (size[1] * width)))


def _remedy(edited_image: EditedImage, size: Size, source: Size, has_sources_shape: bool) -> str:
    """What to do about an edit of a wrong size, as the end of a message."""
    if edited_image.loader is not None:
        way_out = (
            "give the one that made the edits" if edited_image.may_be_strip else "restore the run's picture"
        )
        return f", and image_loader={edited_image.loader} does not give this size; {way_out}"
    remedy = "; save the edit in the source's size"
    if has_sources_shape:
        return f"{remedy} (piebench run does by output_resolution={min(source)}), or pass --resize"
    fits = [loader for loader in get_args(ImageLoader) if fitting_size(size, source, loader)]
    return f"{remedy}, or pass the --image-loader that made it: {' or '.join(fits)}" if fits else remedy
