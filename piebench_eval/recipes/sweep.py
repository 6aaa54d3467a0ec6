"""Sweeps: one run for every combination of the values of some settings, or for every run with a name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.overrides import parse_override

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from piebench_eval.recipes.recipe import Recipe

RECIPE_FIELD = "sweep"
"""Key of the axes in a recipe file; not a field of the recipe."""

RUN_AXIS = "run"
"""The key of a sweep over the runs that a recipe file names, see ``recipes.named_runs``."""

_RUN_NAME = re.compile(r"\w[\w.+-]*")
_TAKEN = ("benchmark", "cache", "sweep.yaml", "table.csv")
"""What else lies in the folder of a sweep."""

_NEXT_AXIS = re.compile(r"\s+(?=[\w.]+=)")
_UNSAFE = re.compile(r"[^\w.+-]")
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        folder: name of its run folder.
        settings: the swept keys and their values.
        recipe_hash: hash of its recipe.
    """

    folder: str
    settings: dict[str, Any]
    recipe_hash: str


@dataclass(frozen=True)
class Sweep:
    """The axes of a sweep and its runs.

    Attributes:
        axes: the values of each swept key.
        runs: one for each combination of values; the last key changes fastest.
    """

    axes: dict[str, list[Any]]
    runs: list[SweepRun]


def parse_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``KEY=V1,V2``; a text can have several, separated by blanks. Values are read as YAML.

    Raises:
        PiebenchError: a text has another form.

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
    """The axes under ``sweep`` in a recipe file; empty if it has none.

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
    axes: Mapping[str, Sequence[Any]],
    fixed: Collection[str],
    build: Callable[[dict[str, Any]], Recipe],
    source: str = "--sweep",
) -> tuple[Sweep, list[Recipe]]:
    """List the runs of a sweep and build the recipe of each, before the first starts.

    Args:
        axes: the values of each swept key.
        fixed: keys that the command sets to one value.
        build: builds the recipe with the settings of a run.
        source: where the axes come from, for messages.

    Returns:
        The sweep, and the recipes of its runs in order.

    Raises:
        PiebenchError: the settings of a run do not fit, a value occurs twice, or a swept key is also fixed.
    """
    if both := [key for key in axes if key in fixed]:
        raise PiebenchError(f"{source} {', '.join(both)}: is set to one value as well; leave one of them out")
    runs, recipes = [], []
    for values in product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        folder = folder_name(settings)
        try:
            recipe = build(settings)
        except PiebenchError as error:
            raise PiebenchError(f"{source}, run {folder}: {error}") from None
        runs.append(SweepRun(folder, settings, recipe.hash))
        recipes.append(recipe)
    _require_distinct_runs(runs, source)
    return Sweep({key: list(values) for key, values in axes.items()}, runs), recipes


def _require_distinct_runs(runs: Sequence[SweepRun], source: str) -> None:
    for attribute in ("recipe_hash", "folder"):
        seen: dict[str, SweepRun] = {}
        for run in runs:
            first = seen.setdefault(getattr(run, attribute), run)
            if first is not run:
                raise PiebenchError(
                    f"{source}: {first.settings} and {run.settings} have the same "
                    f"{attribute.replace('_hash', '')}; leave one of them out"
                )


def folder_name(settings: Mapping[str, Any]) -> str:
    """The name of a run's folder: keys without prefixes, unless these are needed to distinguish them.

    A run that has a name is called by it.

    >>> folder_name({"inversion.guidance": 2.5, "image_format": "jpeg:75"})
    'guidance=2.5,image_format=jpeg_75'
    >>> folder_name({"inversion.guidance": 2.5, "guidance": 7.5})
    'inversion.guidance=2.5,guidance=7.5'
    >>> folder_name({"run": "flowedit-flux", "seed": 1})
    'flowedit-flux,seed=1'
    """
    short = [key.rpartition(".")[2] for key in settings]
    names = [key if short.count(last) > 1 else last for key, last in zip(settings, short, strict=True)]
    return ",".join(
        _safe(value) if key == RUN_AXIS else f"{name}={_safe(value)}"
        for key, name, value in zip(settings, names, settings.values(), strict=True)
    )


def is_run_name(name: Any) -> bool:
    """Whether a run may have a name: it is that of a folder, beside the other files of a sweep.

    >>> is_run_name("flowedit-sd3.5"), is_run_name(".."), is_run_name("cache")
    (True, False, False)
    """
    return (
        isinstance(name, str)
        and len(name) <= _LONGEST_VALUE
        and _RUN_NAME.fullmatch(name) is not None
        and name not in _TAKEN
    )


def _safe(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return _UNSAFE.sub("_", text)[:_LONGEST_VALUE]
