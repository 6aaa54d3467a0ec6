"""Recipe files that name several runs: ``runs:`` maps each name to a recipe and what it changes in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.stored_recipe import flatten
from piebench_eval.recipes.sweep import RECIPE_FIELD, is_run_name

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNS_FIELD = "runs"
"""Key of the runs in a recipe file; it stands in the place of inversions and methods."""

_OF_A_RUN = ("inversions", "methods", "editors", "combinations", "plugins")
"""Fields of a recipe that each run has from its own."""

_EXAMPLE = "NAME: {recipe: flowedit-flux, steps: 20}"


@dataclass(frozen=True)
class NamedRun:
    """One of the runs of a recipe file.

    Attributes:
        recipe: its recipe: a file, or the name of one of the package's.
        settings: what it changes there, dotted key to value; the fields that hold for all runs included.
    """

    recipe: Path
    settings: dict[str, Any]


def named_runs_of_fields(fields: Mapping[str, Any], file: Path) -> dict[str, NamedRun]:
    """The runs that a recipe file names, in its order; empty if it names none.

    Fields beside ``runs`` hold for all of them, and a run's own come before those. Mappings are joined to
    dotted keys: ``quirks: {noise_on_device: true}`` is ``quirks.noise_on_device: true``.

    Args:
        fields: the fields of the file.
        file: the file, or the name of one of the package's recipes: a run's recipe is sought beside it first.

    Raises:
        PiebenchError: a run has no recipe or a name that no folder can have, or a field cannot stand there.
    """
    if RUNS_FIELD not in fields:
        return {}
    runs = fields[RUNS_FIELD]
    if not isinstance(runs, dict) or not runs:
        raise PiebenchError(f"{file}: runs: must be a mapping of names to recipes, such as {_EXAMPLE}")
    if misplaced := [name for name in _OF_A_RUN if name in fields]:
        raise PiebenchError(
            f"{file}: {', '.join(misplaced)}: cannot stand beside runs, each of which has them from its own "
            "recipe; leave them out"
        )
    of_all = flatten_fields({k: v for k, v in fields.items() if k not in (RUNS_FIELD, RECIPE_FIELD)})
    return {str(name): _named_run(str(name), own, of_all, file) for name, own in runs.items()}


def _named_run(name: str, own: Any, of_all: Mapping[str, Any], file: Path) -> NamedRun:
    if not is_run_name(name):
        raise PiebenchError(
            f"{file}: runs.{name}: becomes a folder's name; write letters, digits and . + - _, 60 at most, "
            "and no name of what else lies in a sweep's folder"
        )
    if not isinstance(own, dict) or not isinstance(own.get("recipe"), str):
        raise PiebenchError(f"{file}: runs.{name}: names no recipe; write it as {_EXAMPLE}")
    beside = file.parent / own["recipe"]
    recipe = beside if beside.is_file() else Path(own["recipe"])
    changes = flatten_fields({field: value for field, value in own.items() if field != "recipe"})
    return NamedRun(recipe, {**of_all, **changes})


def flatten_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by their names in ``--set``.

    >>> flatten_fields({"steps": 20, "inversion": {"skip": 2}})
    {'steps': 20, 'inversion.skip': 2}
    """
    return flatten({str(name): value for name, value in fields.items()}) if fields else {}
