"""Scenes of one or two shapes on a background, drawn at random, and their captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

SHAPES = ("circle", "square", "triangle", "star")
OBJECT_COLORS = {
    "red": (222, 38, 38),
    "green": (32, 148, 56),
    "blue": (38, 76, 222),
    "yellow": (240, 200, 20),
    "purple": (140, 48, 180),
    "orange": (248, 126, 20),
}
BACKGROUND_COLORS = {
    "white": (243, 243, 241),
    "gray": (152, 152, 154),
    "blue": (150, 194, 246),
    "green": (164, 222, 160),
    "yellow": (252, 236, 150),
    "pink": (248, 178, 204),
}
MATERIALS = ("plain", "striped", "dotted")
PATTERNS = ("plain", "striped", "dotted", "gradient")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Thing:
    """An object of a scene; lengths are shares of the image's side.

    Attributes:
        shape: one of ``SHAPES``.
        color: a key of ``OBJECT_COLORS``.
        x: centre, from the left.
        y: centre, from the top.
        radius: of the circle around it.
        material: one of ``MATERIALS``.
        tilted: turned by 30 degrees; never true of a circle.
        dot: whether it has a white disc in its middle.
    """

    shape: str
    color: str
    x: float = 0.5
    y: float = 0.5
    radius: float = 0.25
    material: str = "plain"
    tilted: bool = False
    dot: bool = False


@dataclass(frozen=True)
class Scene:
    """The content of an image.

    Attributes:
        things: at most two objects, from left to right.
        background: a key of ``BACKGROUND_COLORS``.
        pattern: of the background, one of ``PATTERNS``.
        sketch: whether objects are drawn as outlines.
    """

    things: tuple[Thing, ...]
    background: str
    pattern: str = "plain"
    sketch: bool = False


def random_scene(rng: Generator, count: int | None = None) -> Scene:
    """Draw a random scene; every attribute occurs often enough to be learnt.

    Args:
        rng: source of randomness.
        count: number of objects, at most 2; random if None.
    """
    background = choose(rng, tuple(BACKGROUND_COLORS))
    if count is None:
        count = choose(rng, (0, 1, 2), (0.03, 0.62, 0.35))
    if count == 1:
        x = choose(rng, (0.5, 0.27, 0.73), (0.6, 0.2, 0.2))
        places = [(x, rng.uniform(0.2, 0.28) if x == 0.5 else rng.uniform(0.19, 0.21))]
    else:
        radius = rng.uniform(0.19, 0.21)
        places = [(0.27, radius), (0.73, radius)][:count]
    things: list[Thing] = []
    for x, radius in places:
        taken = [background, *(thing.color for thing in things)]
        things.append(_random_thing(rng, x, radius, taken))
    pattern = choose(rng, PATTERNS, (0.7, 0.1, 0.1, 0.1))
    return Scene(tuple(things), background, pattern, sketch=bool(things) and rng.random() < 0.13)


def _random_thing(rng: Generator, x: float, radius: float, taken_colors: Sequence[str]) -> Thing:
    shape = choose(rng, SHAPES)
    return Thing(
        shape=shape,
        color=choose(rng, tuple(color for color in OBJECT_COLORS if color not in taken_colors)),
        x=x + rng.uniform(-0.02, 0.02),
        y=0.5 + rng.uniform(-0.1, 0.1),
        radius=radius,
        material=choose(rng, MATERIALS, (0.72, 0.14, 0.14)),
        tilted=shape != "circle" and rng.random() < 0.18,
        dot=rng.random() < 0.15,
    )


def choose(rng: Generator, options: Sequence[_T], weights: Sequence[float] | None = None) -> _T:
    """Choose one of several options at random, uniformly or with weights that sum to 1."""
    return options[int(rng.choice(len(options), p=weights))]


def caption(scene: Scene, opening: str = "", joint: str = "and") -> str:
    """Describe a scene in words.

    Args:
        scene: the scene.
        opening: first words, such as ``a drawing of``; always ``a sketch of`` for a sketch.
        joint: words between two objects, ``and`` or ``next to``.

    >>> caption(Scene((Thing("star", "red", tilted=True),), "gray", "dotted"), "a drawing of")
    'a drawing of a tilted red star on a dotted gray background'
    >>> caption(Scene((Thing("circle", "blue", material="striped", dot=True),), "pink", sketch=True))
    'a sketch of a striped blue circle with a white dot on a pink background'
    """
    opening = "a sketch of" if scene.sketch else opening
    things = f" {joint} ".join(_describe(thing) for thing in scene.things)
    pattern = "" if scene.pattern == "plain" else f"{scene.pattern} "
    ground = _with_article(f"{pattern}{scene.background} background")
    return " ".join(part for part in (opening, things, "on" if things else "", ground) if part)


def _describe(thing: Thing) -> str:
    words = [
        "tilted" if thing.tilted else "",
        "" if thing.material == "plain" else thing.material,
        thing.color,
        thing.shape,
    ]
    described = _with_article(" ".join(word for word in words if word))
    return f"{described} with a white dot" if thing.dot else described


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
