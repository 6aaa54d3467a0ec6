"""Random edits of scenes, one function per editing type of PIE-Bench, with source and ideal edit."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from piebench_eval.demo.scene import (
    BACKGROUND_COLORS,
    MATERIALS,
    OBJECT_COLORS,
    PATTERNS,
    SHAPES,
    Scene,
    Thing,
    choose,
    random_scene,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator


_GROUND = "background background"


@dataclass(frozen=True)
class SceneEdit:
    """An edit of a scene: source, ideal result and instruction.

    Attributes:
        source: the scene before the edit.
        target: the scene after the edit.
        blended_word: source and target word of the local blend; may be empty.
        instruction: the edit as an instruction.
    """

    source: Scene
    target: Scene
    blended_word: str
    instruction: str


def random_edit(type_id: str, rng: Generator) -> SceneEdit:
    """Draw a random edit of an editing type (a key of ``TYPE_NAMES``); type 0 is any of the others."""
    if type_id == "0":
        type_id = choose(rng, tuple(_EDITS))
    return _EDITS[type_id](rng)


def change_object(rng: Generator) -> SceneEdit:
    """Replace an object by another shape in the same place."""
    scene, index, thing = _scene_with_thing(rng)
    others = [shape for shape in SHAPES if shape not in [known.shape for known in scene.things]]
    changed = replace(thing, shape=choose(rng, others), tilted=False)
    scene = _with_thing(scene, index, replace(thing, tilted=False))
    return SceneEdit(
        scene,
        _with_thing(scene, index, changed),
        f"{thing.shape} {changed.shape}",
        f"Make the {thing.shape} a {changed.shape}",
    )


def add_object(rng: Generator) -> SceneEdit:
    """Add a second object beside the first."""
    both = _plain_scene(rng, count=2)
    added = int(rng.integers(2))
    one = replace(both, things=(both.things[1 - added],))
    thing = both.things[added]
    return SceneEdit(one, both, f"background {thing.shape}", f"Add a {thing.color} {thing.shape}")


def delete_object(rng: Generator) -> SceneEdit:
    """Delete one of two objects."""
    added = add_object(rng)
    gone = next(thing for thing in added.target.things if thing not in added.source.things)
    return SceneEdit(
        added.target, added.source, f"{gone.shape} background", f"Delete the {gone.color} {gone.shape}"
    )


def change_content(rng: Generator) -> SceneEdit:
    """Add a white dot to an object, or remove it."""
    scene, index, thing = _scene_with_thing(rng)
    changed = replace(thing, dot=not thing.dot)
    instruction = f"{'Put a white dot on' if changed.dot else 'Remove the white dot from'} the {thing.shape}"
    return SceneEdit(scene, _with_thing(scene, index, changed), f"{thing.shape} {thing.shape}", instruction)


def change_pose(rng: Generator) -> SceneEdit:
    """Tilt an object, or set it upright."""
    scene, index, thing = _scene_with_thing(rng, shapes=[shape for shape in SHAPES if shape != "circle"])
    changed = replace(thing, tilted=not thing.tilted)
    instruction = f"{'Tilt' if changed.tilted else 'Set upright'} the {thing.shape}"
    return SceneEdit(scene, _with_thing(scene, index, changed), f"{thing.shape} {thing.shape}", instruction)


def change_color(rng: Generator) -> SceneEdit:
    """Change the colour of an object."""
    scene, index, thing = _scene_with_thing(rng)
    taken = [scene.background, *(known.color for known in scene.things)]
    changed = replace(thing, color=choose(rng, [color for color in OBJECT_COLORS if color not in taken]))
    return SceneEdit(
        scene,
        _with_thing(scene, index, changed),
        f"{thing.shape} {thing.shape}",
        f"Paint the {thing.shape} {changed.color}",
    )


def change_material(rng: Generator) -> SceneEdit:
    """Make an object plain, striped or dotted."""
    scene, index, thing = _scene_with_thing(rng)
    changed = replace(thing, material=choose(rng, [name for name in MATERIALS if name != thing.material]))
    return SceneEdit(
        scene,
        _with_thing(scene, index, changed),
        f"{thing.shape} {thing.shape}",
        f"Make the {thing.shape} {changed.material}",
    )


def change_background(rng: Generator) -> SceneEdit:
    """Change the colour or pattern of the background."""
    scene, _, _ = _scene_with_thing(rng)
    if rng.random() < 0.6:
        taken = [scene.background, *(thing.color for thing in scene.things)]
        changed = choose(rng, [color for color in BACKGROUND_COLORS if color not in taken])
        return SceneEdit(scene, replace(scene, background=changed), _GROUND, f"Make the background {changed}")
    changed = choose(rng, [pattern for pattern in PATTERNS if pattern != scene.pattern])
    return SceneEdit(scene, replace(scene, pattern=changed), _GROUND, f"Make the background {changed}")


def change_style(rng: Generator) -> SceneEdit:
    """Turn a drawing of plain objects into a sketch, or a sketch into a drawing."""
    scene = _plain_scene(rng)
    things = tuple(replace(thing, material="plain") for thing in scene.things)
    scene = replace(scene, things=things, sketch=bool(rng.random() < 0.3))
    instruction = "Paint the sketch" if scene.sketch else "Draw it as a sketch"
    return SceneEdit(scene, replace(scene, sketch=not scene.sketch), "", instruction)


_EDITS: dict[str, Callable[[Generator], SceneEdit]] = {
    "1": change_object,
    "2": add_object,
    "3": delete_object,
    "4": change_content,
    "5": change_pose,
    "6": change_color,
    "7": change_material,
    "8": change_background,
    "9": change_style,
}


def mark_changes(source: str, target: str) -> tuple[str, str]:
    """Put the words in which two prompts differ in brackets, as PIE-Bench does.

    >>> mark_changes("a red circle on a gray background", "a red star on a gray background")
    ('a red [circle] on a gray background', 'a red [star] on a gray background')
    """
    old, new = source.split(), target.split()
    marked: tuple[list[str], list[str]] = ([], [])
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for words, run in zip(marked, (old[i:j], new[k:m]), strict=True):
            text = " ".join(run)
            words += [text if kind == "equal" else f"[{text}]"] if run else []
    return " ".join(marked[0]), " ".join(marked[1])


def _plain_scene(rng: Generator, count: int | None = None) -> Scene:
    """A random scene of one or two objects of different shapes, so that a word is unique; no sketch."""
    while True:
        scene = random_scene(rng, count)
        shapes = [thing.shape for thing in scene.things]
        if shapes and len(set(shapes)) == len(shapes):
            return replace(scene, sketch=False)


def _scene_with_thing(rng: Generator, shapes: list[str] | None = None) -> tuple[Scene, int, Thing]:
    """A random scene, and the index of one of its objects (of the given shapes) and the object."""
    while True:
        scene = _plain_scene(rng)
        index = int(rng.integers(len(scene.things)))
        if shapes is None or scene.things[index].shape in shapes:
            return scene, index, scene.things[index]


def _with_thing(scene: Scene, index: int, thing: Thing) -> Scene:
    things = list(scene.things)
    things[index] = thing
    return replace(scene, things=tuple(things))
