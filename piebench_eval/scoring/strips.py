"""Strips of panels: find the edit in an image that holds several panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.images import KEEPS_SIZE, loaded_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.data.images import ImageLoader, Size


_MULTIPLES = tuple(2**power for power in range(8))
"""What models take sides in multiples of: 16 pixels, or 64; up to 128."""


def cut_multiple(source: Size, size: Size) -> int | None:
    """What a source's sides were cut to multiples of, by a loader that keeps sizes.

    Args:
        source: the source's width and height.
        size: those of the cut source. Several multiples can lead to them, by the same cut.

    Returns:
        The smallest such multiple; None if there is none.

    >>> cut_multiple((500, 333), (496, 320)), cut_multiple((500, 333), (500, 320))
    (16, None)
    """
    return next(
        (multiple for multiple in _MULTIPLES if loaded_size(source, KEEPS_SIZE, None, multiple) == size), None
    )


def last_panel(size: Size, source: Size, loader: ImageLoader | None) -> Size | None:
    """The size of the last panel, at the bottom right, which the official evaluator takes for the edit.

    There are panels if the image is exactly one panel wide or high, or at least two in a direction. An image
    with a panel's aspect ratio is never split, since it may be an edit of another resolution.

    Args:
        size: the image's width and height.
        source: the source's.
        loader: how the source was loaded when it was edited; None for an edit of the whole source.

    Returns:
        Width and height; None if the image is not a strip of such panels.

    >>> last_panel((1034, 512), (512, 512), None), last_panel((1536, 1024), (512, 512), None)
    ((512, 512), (512, 512))
    >>> last_panel((1024, 1024), (512, 512), None), last_panel((1024, 600), (512, 512), None)
    (None, None)
    """
    width, height = size
    for panel in _panels_of_height(source, loader, height):
        several = [side >= 2 * of_panel for side, of_panel in zip(size, panel, strict=True)]
        whole = [side == of_panel for side, of_panel in zip(size, panel, strict=True)]
        same_shape = width * panel[1] == height * panel[0]
        if all(many or one for many, one in zip(several, whole, strict=True)) and not same_shape:
            return panel
    return None


def _panels_of_height(source: Size, loader: ImageLoader | None, height: int) -> Iterator[Size]:
    """Possible sizes of a panel: as high as the image, and as loaded at the source's resolution."""
    if loader is None:
        yield source
        return
    if loader == KEEPS_SIZE:
        cuts = (loaded_size(source, loader, None, multiple) for multiple in _MULTIPLES)
        yield from (panel for panel in dict.fromkeys(cuts) if panel[1] == height)
        yield source
        return
    shorter = (
        height if source[0] >= source[1] or loader != "shorter_side" else height * source[0] // source[1]
    )
    if shorter and (panel := loaded_size(source, loader, shorter))[1] == height:
        yield panel
    yield loaded_size(source, loader)
