"""A sweep: one recipe at every point of a grid of settings, an ordinary run folder for each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.runs.recipe import parse_override
from piebench_eval.runs.store import SWEEP_FILE, RunStore, refuse_sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from piebench_eval.runs.recipe import Recipe

CACHE_FOLDER = "cache"

RECIPE_FIELD = "sweep"
"""Where a recipe's file has axes; no field of the recipe itself."""

_NEXT_AXIS = re.compile(r"\s+(?=[\w.]+=)")
_UNSAFE = re.compile(r"[^\w.+-]")
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Point:
    """One point of the grid.

    Attributes:
        folder: name of its run folder.
        settings: the swept keys and their values there.
        recipe_hash: of its recipe.
    """

    folder: str
    settings: dict[str, Any]
    recipe_hash: str


@dataclass(frozen=True)
class Sweep:
    """A grid, as ``sweep.yaml`` holds it.

    Attributes:
        axes: the values of each swept key.
        points: all combinations of them, the last axis changing fastest.
    """

    axes: dict[str, list[Any]]
    points: list[Point]

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder holds a sweep."""
        return (folder / SWEEP_FILE).is_file()

    @classmethod
    def read(cls, folder: Path) -> Sweep:
        """Read what a folder's runs are points of.

        Raises:
            PiebenchError: the folder holds no sweep, or its file is damaged.
        """
        file = folder / SWEEP_FILE
        if not file.is_file():
            raise PiebenchError(
                f"{folder}: holds no sweep (no {SWEEP_FILE}); make one with piebench run --sweep"
            )
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            points = [Point(**point) for point in content["points"]]
            axes = {str(key): list(values) for key, values in content["axes"].items()}
            whole = all(
                list(point.settings) == list(axes) and point.folder == folder_name(point.settings)
                for point in points
            )
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise PiebenchError(f"{file}: is damaged ({error}); {_REMEDY}") from None
        if not whole or not points:
            raise PiebenchError(f"{file}: is damaged (points do not fit the axes, or lack); {_REMEDY}")
        return cls(axes, points)

    def check_folder(self, folder: Path) -> None:
        """Check that the sweep may go into a folder: an empty one, or one whose points it all has.

        Raises:
            PiebenchError: the folder holds a run, or points that are not of this sweep.
        """
        if RunStore.exists(folder):
            raise PiebenchError(f"{folder}: holds a run; choose another --out for a sweep")
        if not Sweep.exists(folder):
            return
        kept = {(point.folder, point.recipe_hash) for point in Sweep.read(folder).points}
        if others := kept - {(point.folder, point.recipe_hash) for point in self.points}:
            raise PiebenchError(
                f"{folder}: holds another sweep, with points that this one lacks or makes by another recipe: "
                f"{', '.join(sorted(name for name, _ in others))}; choose another --out, or sweep these too"
            )

    def keep(self, folder: Path) -> None:
        """Write the sweep's file, after ``check_folder``.

        Raises:
            PiebenchError: the disk is full, or the folder cannot be written to.
        """
        content = {"axes": self.axes, "points": [vars(point) for point in self.points]}
        write_whole(folder / SWEEP_FILE, yaml.safe_dump(content, sort_keys=False, width=1000).encode())


_REMEDY = "run the same piebench run --sweep again after deleting it: finished edits are kept"


def refuse_sweep_out(folder: Path) -> None:
    """Keep a single run out of a sweep's folder.

    Raises:
        PiebenchError: the folder holds a sweep.
    """
    refuse_sweep(folder, "go on with its --sweep or --config, or choose another --out")


def parse_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``KEY=V1,V2``, several of them in a text with blanks between; values are read as YAML.

    Raises:
        PiebenchError: something else.

    >>> parse_axes(["inversion.guidance=1,2.5 method.controller=auto,refine", "seed=1"])
    {'inversion.guidance': [1, 2.5], 'method.controller': ['auto', 'refine'], 'seed': [1]}
    """
    axes: dict[str, list[Any]] = {}
    for axis in (part for text in texts for part in _NEXT_AXIS.split(text.strip())):
        key, equals, values = axis.partition("=")
        if not key or not equals:
            raise PiebenchError(f"--sweep {axis}: write KEY=V1,V2, for example inversion.guidance=1,2.5")
        if key in axes:
            raise PiebenchError(f"--sweep {axis}: {key} is swept twice; give all its values at once")
        axes[key] = [parse_override(f"{key}={value.strip()}")[1] for value in _split(axis, values)]
    return axes


def _split(axis: str, values: str) -> list[str]:
    found = values.split(",")
    if not all(value.strip() for value in found):
        raise PiebenchError(f"--sweep {axis}: a value is empty; write null for no value")
    return found


def axes_of_fields(fields: Mapping[str, Any], source: str) -> dict[str, list[Any]]:
    """The axes that a recipe's file brings along under ``sweep``; none if it has no such field.

    Raises:
        PiebenchError: the field is no mapping of keys to lists of values.
    """
    axes = fields.get(RECIPE_FIELD, {})
    if not isinstance(axes, dict) or not all(isinstance(values, list) and values for values in axes.values()):
        raise PiebenchError(
            f"{source}: sweep: must be a mapping of keys to lists, such as inversion.guidance: [1, 2.5]"
        )
    return {str(key): values for key, values in axes.items()}


def plan_sweep(
    axes: Mapping[str, Sequence[Any]], fixed: Collection[str], build: Callable[[dict[str, Any]], Recipe]
) -> tuple[Sweep, list[Recipe]]:
    """Make every point's recipe, before any of them runs.

    Args:
        axes: the values of each swept key.
        fixed: keys that the command sets to one value.
        build: makes a recipe with these settings beside all others.

    Returns:
        The sweep, and the recipes of its points, in their order.

    Raises:
        PiebenchError: a point's settings do not fit, a value stands there twice, or a key is set as well.
    """
    if both := [key for key in axes if key in fixed]:
        raise PiebenchError(f"--sweep {', '.join(both)}: is set to one value as well; leave one of them out")
    points, recipes = [], []
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        folder = folder_name(settings)
        try:
            recipe = build(settings)
        except PiebenchError as error:
            raise PiebenchError(f"--sweep, point {folder}: {error}") from None
        points.append(Point(folder, settings, recipe.hash))
        recipes.append(recipe)
    _refuse_twins(points)
    return Sweep({key: list(values) for key, values in axes.items()}, points), recipes


def _refuse_twins(points: Sequence[Point]) -> None:
    for attribute in ("recipe_hash", "folder"):
        seen: dict[str, Point] = {}
        for point in points:
            twin = seen.setdefault(getattr(point, attribute), point)
            if twin is not point:
                raise PiebenchError(
                    f"--sweep: {twin.settings} and {point.settings} have the same "
                    f"{attribute.replace('_hash', '')}; leave one of them out"
                )


def folder_name(settings: Mapping[str, Any]) -> str:
    """What a point's folder is called: keys without their prefixes, as long as these tell them apart.

    >>> folder_name({"inversion.guidance": 2.5, "image_format": "jpeg:75"})
    'guidance=2.5,image_format=jpeg_75'
    >>> folder_name({"inversion.guidance": 2.5, "guidance": 7.5})
    'inversion.guidance=2.5,guidance=7.5'
    """
    short = [key.rpartition(".")[2] for key in settings]
    names = [key if short.count(last) > 1 else last for key, last in zip(settings, short, strict=True)]
    return ",".join(f"{name}={_safe(value)}" for name, value in zip(names, settings.values(), strict=True))


def _safe(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return _UNSAFE.sub("_", text)[:_LONGEST_VALUE]
