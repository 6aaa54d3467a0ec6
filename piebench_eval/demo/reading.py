"""Reading a picture: the scene whose drawing is nearest to it, in words too."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import binary_closing, binary_fill_holes, label

from piebench_eval.demo.draw import SIDE, background, covers, paint
from piebench_eval.demo.recognise import background_color, nearest_colors, object_votes
from piebench_eval.demo.scene import MATERIALS, OBJECT_COLORS, PATTERNS, SHAPES, Scene, Thing, caption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_FAR = 60
"""Grey levels by which an object stands out from the background, in one of the channels at least."""

_LEAST_SHARE = 0.02
"""Share of the picture that an object covers at least; what is smaller is a flaw of the picture."""

_OUTLINES = 4
"""Outlines whose looks are tried: those that overlap an object most."""

_STRIPE = 5
"""Pixels; more than a pale stripe of an object, which may look like the background."""

_Y, _X = (np.indices((SIDE, SIDE)) + 0.5) / SIDE


def scene_in_words(picture: NDArray[np.uint8]) -> str:
    """What a picture ``[height, width, 3]`` shows, as a caption, which says nothing of places and sizes.

    A sketch has no dots in it, which are white on white.
    """
    scene = read_scene(picture)
    if scene.sketch:
        scene = replace(scene, things=tuple(replace(thing, dot=False) for thing in scene.things))
    return caption(scene)


def read_scene(picture: NDArray[np.uint8]) -> Scene:
    """Find the scene whose drawing is nearest to a picture ``[height, width, 3]``.

    Background colour and object colours go by the palettes' nearest, as in ``recognise``. Where objects are,
    the picture differs from the background alone; of what could be there, the nearest drawing decides on
    shape, tilt, material and dot.
    """
    if picture.shape[:2] != (SIDE, SIDE):
        picture = np.array(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))
    nearest = nearest_colors(picture)
    empty = _empty_scene(picture, background_color(nearest))
    drawn = background(empty, _X, _Y)
    found = [_read_thing(picture, drawn, mask, nearest) for mask in _objects(picture, drawn)]
    found.sort(key=lambda thing_and_sketch: thing_and_sketch[0].x)
    sketched = [sketch for _, sketch in found]
    return replace(empty, things=tuple(thing for thing, _ in found), sketch=any(sketched) and all(sketched))


def _empty_scene(picture: NDArray[np.uint8], color: str) -> Scene:
    """The background alone, with the pattern whose drawing is nearest where no object stands out."""

    def distance(scene: Scene) -> float:
        return float(np.minimum(_distances(picture, background(scene, _X, _Y)), _FAR).mean())

    return min((Scene((), color, pattern) for pattern in PATTERNS), key=distance)


def _distances(picture: NDArray[np.uint8], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each pixel, the largest difference among its channels, in grey levels."""
    return np.abs(picture - drawn).max(axis=2)


def _objects(picture: NDArray[np.uint8], drawn: NDArray[np.float64]) -> Iterator[NDArray[np.bool_]]:
    """The pixels of each object: those that are joined, over stripes too, and differ from the background."""
    apart = _distances(picture, drawn) > _FAR
    upright = np.ones((_STRIPE, 1), bool)
    joined = binary_closing(np.pad(apart, _STRIPE), upright)[_STRIPE:-_STRIPE, _STRIPE:-_STRIPE]
    parts, count = label(joined)
    whole = binary_fill_holes(binary_closing(apart, np.ones((3, 3), bool)))
    for number in range(1, count + 1):
        mask = (parts == number) & whole
        if mask.sum() >= _LEAST_SHARE * mask.size:
            yield mask


def _read_thing(
    picture: NDArray[np.uint8],
    drawn: NDArray[np.float64],
    mask: NDArray[np.bool_],
    nearest: NDArray[np.intp],
) -> tuple[Thing, bool]:
    """The object whose drawing is nearest to what a mask shows, and whether it is drawn in outlines."""
    color = list(OBJECT_COLORS)[int(object_votes(nearest[mask]).argmax())]
    rows, columns = np.nonzero(mask)
    box = (slice(max(rows.min() - 3, 0), rows.max() + 4), slice(max(columns.min() - 3, 0), columns.max() + 4))

    def distance(look: tuple[Thing, bool]) -> float:
        canvas = drawn[box].copy()
        paint(canvas, *look, _X[box], _Y[box])
        return float(np.abs(picture[box] - canvas).mean())

    return min(_looks(_outlines(mask), color), key=distance)


def _looks(outlines: list[Thing], color: str) -> Iterator[tuple[Thing, bool]]:
    """Every look of an object of these outlines; a sketch has no dot to be seen."""
    for outline, material, (dot, sketch) in product(
        outlines, MATERIALS, ((False, False), (True, False), (False, True))
    ):
        yield replace(outline, color=color, material=material, dot=dot), sketch


def _outlines(mask: NDArray[np.bool_]) -> list[Thing]:
    """The outlines, upright or tilted, of a mask's extent or nearly so, that overlap it most."""
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
