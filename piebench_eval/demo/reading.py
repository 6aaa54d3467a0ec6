"""Read the scene in an image, by the drawing nearest to it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import binary_closing, binary_fill_holes, label

from piebench_eval.demo.draw import SIDE, background, covers, paint
from piebench_eval.demo.scene import (
    BACKGROUND_COLORS,
    MATERIALS,
    OBJECT_COLORS,
    PATTERNS,
    SHAPES,
    Scene,
    Thing,
    caption,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_SHADES = np.linspace(0.7, 1, 7)[:, None]
"""Factors of a background's colour: patterns darken it by up to 30 %."""

_MIN_DIFFERENCE = 60
"""Grey levels by which an object differs from the background in at least one channel."""

_MIN_SHARE = 0.02
"""Smallest share of the image that an object covers; anything smaller is an artefact."""

_OUTLINES = 4
"""Number of outlines that are compared pixel by pixel: those that overlap an object most."""

_STRIPE = 5
"""Pixels; wider than a pale stripe of an object, which may look like the background."""

_Y, _X = (np.indices((SIDE, SIDE)) + 0.5) / SIDE


def scene_in_words(image: NDArray[np.uint8]) -> str:
    """Describe an image ``[height, width, 3]`` by a caption, without positions and sizes.

    Dots of a sketch are left out, since they are white on white.
    """
    scene = read_scene(image)
    if scene.sketch:
        scene = replace(scene, things=tuple(replace(thing, dot=False) for thing in scene.things))
    return caption(scene)


def read_scene(image: NDArray[np.uint8]) -> Scene:
    """Find the scene whose drawing is nearest to an image ``[height, width, 3]``.

    Colours are the nearest of the palettes. Objects are where the image differs from the background; the
    nearest drawing decides on shape, tilt, material and dot.
    """
    if image.shape[:2] != (SIDE, SIDE):
        image = np.array(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))
    nearest = nearest_colors(image)
    empty = _empty_scene(image, background_color(nearest))
    drawn = background(empty, _X, _Y)
    found = [_read_thing(image, drawn, mask, nearest) for mask in _objects(image, drawn)]
    found.sort(key=lambda thing_and_sketch: thing_and_sketch[0].x)
    sketched = [sketch for _, sketch in found]
    return replace(empty, things=tuple(thing for thing, _ in found), sketch=any(sketched) and all(sketched))


def nearest_colors(image: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The index of the colour nearest to each pixel: object colours, then background shades.

    Args:
        image: ``[side, side, 3]``.

    Returns:
        ``[side, side]``.
    """
    shades = [np.array(color) * _SHADES for color in BACKGROUND_COLORS.values()]
    colors = np.concatenate([np.array(list(OBJECT_COLORS.values())), *shades])
    pixels = image.reshape(-1, 3).astype(np.float64)
    nearest = ((pixels[:, None] - colors) ** 2).sum(axis=2).argmin(axis=1)
    return nearest.reshape(image.shape[:2])


def background_color(nearest: NDArray[np.intp]) -> str:
    """The most common background colour on the border of ``nearest_colors``."""
    border = np.concatenate([nearest[[0, -1]].ravel(), nearest[:, [0, -1]].ravel()])
    objects, shades = len(OBJECT_COLORS), len(BACKGROUND_COLORS) * len(_SHADES)
    votes = np.bincount(border, minlength=objects + shades)[objects:].reshape(-1, len(_SHADES)).sum(axis=1)
    return list(BACKGROUND_COLORS)[int(votes.argmax())]


def object_votes(nearest: NDArray[np.intp]) -> NDArray[np.intp]:
    """The number of pixels of each object colour in ``nearest_colors``."""
    return np.bincount(nearest.ravel(), minlength=len(OBJECT_COLORS))[: len(OBJECT_COLORS)]


def _empty_scene(image: NDArray[np.uint8], color: str) -> Scene:
    """The background without objects, with the pattern whose drawing is nearest."""

    def distance(scene: Scene) -> float:
        return float(np.minimum(_distances(image, background(scene, _X, _Y)), _MIN_DIFFERENCE).mean())

    return min((Scene((), color, pattern) for pattern in PATTERNS), key=distance)


def _distances(image: NDArray[np.uint8], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest difference among the channels of each pixel, in grey levels, ``[height, width]``."""
    return np.abs(image - drawn).max(axis=2)


def _objects(image: NDArray[np.uint8], drawn: NDArray[np.float64]) -> Iterator[NDArray[np.bool_]]:
    """The mask of each object: connected pixels, also across stripes, that differ from the background."""
    apart = _distances(image, drawn) > _MIN_DIFFERENCE
    upright = np.ones((_STRIPE, 1), bool)
    joined = binary_closing(np.pad(apart, _STRIPE), upright)[_STRIPE:-_STRIPE, _STRIPE:-_STRIPE]
    parts, count = label(joined)
    whole = binary_fill_holes(binary_closing(apart, np.ones((3, 3), bool)))
    for number in range(1, count + 1):
        mask = (parts == number) & whole
        if mask.sum() >= _MIN_SHARE * mask.size:
            yield mask


def _read_thing(
    image: NDArray[np.uint8],
    drawn: NDArray[np.float64],
    mask: NDArray[np.bool_],
    nearest: NDArray[np.intp],
) -> tuple[Thing, bool]:
    """The object whose drawing is nearest to the image in a mask, and whether it is a sketch."""
    color = list(OBJECT_COLORS)[int(object_votes(nearest[mask]).argmax())]
    rows, columns = np.nonzero(mask)
    box = (slice(max(rows.min() - 3, 0), rows.max() + 4), slice(max(columns.min() - 3, 0), columns.max() + 4))

    def distance(look: tuple[Thing, bool]) -> float:
        canvas = drawn[box].copy()
        paint(canvas, *look, _X[box], _Y[box])
        return float(np.abs(image[box] - canvas).mean())

    return min(_looks(_outlines(mask), color), key=distance)


def _looks(outlines: list[Thing], color: str) -> Iterator[tuple[Thing, bool]]:
    """Every appearance of an object with these outlines, without dots in sketches."""
    for outline, material, (dot, sketch) in product(
        outlines, MATERIALS, ((False, False), (True, False), (False, True))
    ):
        yield replace(outline, color=color, material=material, dot=dot), sketch


def _outlines(mask: NDArray[np.bool_]) -> list[Thing]:
    """The outlines, upright or tilted and of about the mask's extent, that overlap it most."""
    x, y = _X[mask].mean(), _Y[mask].mean()
    reach = np.quantile(np.hypot(_X[mask] - x, _Y[mask] - y), 0.99)

    def overlap(thing: Thing) -> float:
        drawn = covers(thing, _X, _Y)
        return float((drawn & mask).sum() / (drawn | mask).sum())

    outlines = [
        Thing(shape, "", x, y, reach * growth, tilted=tilted)
        for shape, tilted, growth in product(SHAPES, (False, True), (0.92, 1.0, 1.08))
        if not (tilted and shape == "circle")
    ]
    return sorted(outlines, key=overlap, reverse=True)[:_OUTLINES]
