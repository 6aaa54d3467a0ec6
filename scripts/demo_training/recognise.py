"""Recognise the object of an image: colours by the nearest palette entry, shape by overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from piebench_eval.demo.draw import covers
from piebench_eval.demo.reading import background_color, nearest_colors, object_votes
from piebench_eval.demo.scene import OBJECT_COLORS, SHAPES, Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_SHARE = 0.01
_GAP = 5  # pixels; wider than the pale stripes of a material


@dataclass(frozen=True)
class Seen:
    """The object and background of an image; None if there is no object."""

    shape: str | None
    color: str | None
    background: str


def recognise(pixels: NDArray[np.uint8]) -> Seen:
    """Recognise the object in an image ``[side, side, 3]`` of at most one object.

    Every pixel is assigned to the nearest palette colour, backgrounds in all their shades. The most common
    object colour is the object's; its shape is the one that overlaps those pixels most after closing gaps.
    """
    nearest = nearest_colors(pixels)
    background = background_color(nearest)
    votes = object_votes(nearest)
    color = int(votes.argmax())
    if votes[color] < _MIN_SHARE * nearest.size:
        return Seen(None, None, background)
    return Seen(_best_shape(_close(nearest == color)), list(OBJECT_COLORS)[color], background)


def _close(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    image = Image.fromarray(mask.astype(np.uint8))
    closed = image.filter(ImageFilter.MaxFilter(_GAP)).filter(ImageFilter.MinFilter(_GAP))
    return np.array(closed).astype(bool)


def _best_shape(mask: NDArray[np.bool_]) -> str:
    """The shape, upright or tilted and of about the mask's extent, that overlaps the mask most."""
    side = len(mask)
    y, x = (np.indices(mask.shape) + 0.5) / side
    rows, columns = y[mask], x[mask]
    x0, y0 = columns.mean(), rows.mean()
    reach = np.quantile(np.hypot(columns - x0, rows - y0), 0.99)
    best, best_overlap = SHAPES[0], -1.0
    for shape in SHAPES:
        for tilted in (False, True):
            for growth in (0.92, 1.0, 1.08):
                thing = Thing(shape, "red", x0, y0, reach * growth, tilted=tilted)
                drawn = covers(thing, x, y)
                overlap = (drawn & mask).sum() / (drawn | mask).sum()
                if overlap > best_overlap:
                    best, best_overlap = shape, overlap
    return best
