"""A simple check of what a picture shows: colours by nearest palette entry, shapes by overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from piebench_eval.demo.draw import covers
from piebench_eval.demo.scene import BACKGROUND_COLORS, OBJECT_COLORS, SHAPES, Thing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SHARE = 0.01
_SHADES = np.linspace(0.7, 1, 7)[:, None]  # patterns darken the background by up to 30 %
_GAP = 5  # pixels; wider than the pale stripes of a material


@dataclass(frozen=True)
class Seen:
    """What a picture of one object shows; None where nothing stands out from the background."""

    shape: str | None
    color: str | None
    background: str


def recognise(picture: NDArray[np.uint8]) -> Seen:
    """Say what a picture ``[side, side, 3]`` of one object on a background shows.

    Every pixel goes to the nearest colour of the palettes, backgrounds in all their shades. The most common
    object colour is the object's, its shape the one that overlaps those pixels most once gaps are closed.
    """
    nearest = nearest_colors(picture)
    background = background_color(nearest)
    votes = object_votes(nearest)
    color = int(votes.argmax())
    if votes[color] < _LEAST_SHARE * nearest.size:
        return Seen(None, None, background)
    return Seen(_best_shape(_close(nearest == color)), list(OBJECT_COLORS)[color], background)


def nearest_colors(picture: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Nearest colour to each pixel, ``[side, side]``: places among object colours, then background shades."""
    shades = [np.array(color) * _SHADES for color in BACKGROUND_COLORS.values()]
    colors = np.concatenate([np.array(list(OBJECT_COLORS.values())), *shades])
    pixels = picture.reshape(-1, 3).astype(np.float64)
    nearest = ((pixels[:, None] - colors) ** 2).sum(axis=2).argmin(axis=1)
    return nearest.reshape(picture.shape[:2])


def background_color(nearest: NDArray[np.intp]) -> str:
    """The background colour that most of a picture's border has; see ``nearest_colors``."""
    border = np.concatenate([nearest[[0, -1]].ravel(), nearest[:, [0, -1]].ravel()])
    objects, shades = len(OBJECT_COLORS), len(BACKGROUND_COLORS) * len(_SHADES)
    votes = np.bincount(border, minlength=objects + shades)[objects:].reshape(-1, len(_SHADES)).sum(axis=1)
    return list(BACKGROUND_COLORS)[int(votes.argmax())]


def object_votes(nearest: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many pixels have each object colour; see ``nearest_colors``."""
    return np.bincount(nearest.ravel(), minlength=len(OBJECT_COLORS))[: len(OBJECT_COLORS)]


def _close(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    image = Image.fromarray(mask.astype(np.uint8))
    closed = image.filter(ImageFilter.MaxFilter(_GAP)).filter(ImageFilter.MinFilter(_GAP))
    return np.array(closed).astype(bool)


def _best_shape(mask: NDArray[np.bool_]) -> str:
    """The shape whose outline, upright or tilted, of the mask's extent or nearly so, overlaps it most."""
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
