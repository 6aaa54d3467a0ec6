"""Draw scenes; every pixel is the mean of 4x4 points, so that outlines are smooth and exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.demo.scene import BACKGROUND_COLORS, OBJECT_COLORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from piebench_eval.demo.scene import Scene, Thing

SIDE = 64
"""Side of the images, in pixels."""

TILT = np.deg2rad(30)

_OVERSAMPLING = 4
_WHITE = np.array([250.0, 250.0, 250.0])
_SQUARE_HALF_SIDE = 0.82
_STAR_INNER_RADIUS = 0.45
_DOT_RADIUS = 0.36
_STROKE = 0.24


def draw(scene: Scene, side: int = SIDE) -> NDArray[np.uint8]:
    """Draw a scene; returns ``[side, side, 3]``.

    >>> from piebench_eval.demo.scene import Thing, Scene
    >>> picture = draw(Scene((Thing("square", "red"),), "gray"))
    >>> picture[32, 32].tolist(), picture[0, 0].tolist()
    ([222, 38, 38], [152, 152, 154])
    """
    points = (np.arange(side * _OVERSAMPLING) + 0.5) / (side * _OVERSAMPLING)
    x, y = np.meshgrid(points, points)
    canvas = background(scene, x, y)
    for thing in scene.things:
        paint(canvas, thing, scene.sketch, x, y)
    fine = canvas.reshape(side, _OVERSAMPLING, side, _OVERSAMPLING, 3)
    return np.round(fine.mean(axis=(1, 3))).astype(np.uint8)


def covers(thing: Thing, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points ``x``, ``y`` (shares of the image's side) lie on an object."""
    return _relative_distance(thing, x, y) < 1


def background(scene: Scene, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colour of a scene's background at points (shares of the image's side), ``[..., 3]``."""
    color = np.array(BACKGROUND_COLORS[scene.background], dtype=np.float64)
    shade = {
        "plain": lambda: np.ones_like(x),
        "striped": lambda: np.where(_stripes(x, 8), 0.82, 1),
        "dotted": lambda: np.where(_dots(x, y, 8, 0.3), 0.78, 1),
        "gradient": lambda: 1.0 - 0.3 * y,
    }[scene.pattern]
    return color * shade()[..., None]


def paint(
    canvas: NDArray[np.float64],
    thing: Thing,
    sketch: bool,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> None:
    """Paint an object onto a canvas ``[..., 3]`` of points (shares of the image's side), in place."""
    relative = _relative_distance(thing, x, y)
    color = np.array(OBJECT_COLORS[thing.color], dtype=np.float64)
    inside = relative < 1
    if sketch:
        canvas[inside] = _WHITE
        inside = inside & (relative > 1 - _STROKE)
    canvas[inside] = color
    if thing.material != "plain":
        pale = _stripes(y, 8) if thing.material == "striped" else _dots(x, y, 8, 0.3)
        canvas[(relative < 1) & pale] = (color + 2 * _WHITE) / 3
    if thing.dot:
        disc = np.hypot(x - thing.x, y - thing.y) < _DOT_RADIUS * thing.radius
        canvas[disc] = _WHITE


def _relative_distance(thing: Thing, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from an object's centre relative to its outline: below 1 inside, 1 on the outline."""
    right, up = (x - thing.x) / thing.radius, (thing.y - y) / thing.radius
    if thing.tilted:
        right, up = (
            right * np.cos(TILT) - up * np.sin(TILT),
            right * np.sin(TILT) + up * np.cos(TILT),
        )
    distance = np.hypot(right, up)
    if thing.shape == "circle":
        return distance
    if thing.shape == "square":
        return np.maximum(abs(right), abs(up)) / _SQUARE_HALF_SIDE
    points, inner = (3, np.cos(np.pi / 3)) if thing.shape == "triangle" else (5, _STAR_INNER_RADIUS)
    return _pointed(distance, np.arctan2(right, up), points, inner)


def _pointed(
    distance: NDArray[np.float64], angle: NDArray[np.float64], points: int, inner: float
) -> NDArray[np.float64]:
    """Relative distance for a star with tips at 1, the first at angle 0, and notches at ``inner``."""
    half = np.pi / points
    folded = np.abs((angle + half) % (2 * half) - half)  # angle from the nearest tip, 0..half
    # The outline is a line from the tip (1, 0) to the notch at angle half; (a, b) is its normal.
    a, b = inner * np.sin(half), 1 - inner * np.cos(half)
    return distance * (a * np.cos(folded) + b * np.sin(folded)) / a


def _stripes(along: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    return (along * count) % 1 < 0.5


def _dots(x: NDArray[np.float64], y: NDArray[np.float64], count: int, radius: float) -> NDArray[np.bool_]:
    return np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5) < radius
