"""Published numbers beyond Table 1: of other methods and models, by their authors and by others.

They are the published rows of methods that are a combination here. Several groups print the same method on
the same model, with other numbers: their spread says how well it is reproduced at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.combination_names import parts_of_name
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.families import family_of_id
from piebench_eval.models.quantization import FULL
from piebench_eval.published.models import HUB_IDS
from piebench_eval.published.rows import REPRODUCTION, TABLE_1, published_rows
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.recipe import build_recipe, read_recipe_fields
from piebench_eval.tables.layout import METRIC_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.published.row import PublishedRow
    from piebench_eval.recipes.recipe import Recipe


@dataclass(frozen=True)
class FurtherRow:
    """A published row of a combination that Table 1 lacks.

    Attributes:
        inversion: name of the inversion that it is here.
        method: name of the editing method.
        models: hub ids of the model, or of copies of it.
        recipe: the package's recipe with the method's published settings; empty if there is none.
        settings: what the table says of settings, by their names in ``--set``.
        numbers: means by Table 1's keys, in its units; those that are not printed, or cannot be right, are
            left out.
        source: where it is printed.
        printed_in: the source without its year and place, such as ``DNAEdit``.
        read_from: ``paper``, ``readme`` of its repository, or ``notes``, at second hand.
        by: ``authors`` of the method; ``copied``, where others print the authors' row; ``rerun`` by others.
        images: how many it is a mean of; None if that is not said.
        uncounted: why its numbers are not of the same kind as others'; empty if they are.
        note: what else is known of it.
    """

    inversion: str
    method: str
    models: tuple[str, ...]
    recipe: str
    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    source: str
    printed_in: str
    read_from: str
    by: str
    images: int | None
    uncounted: str
    note: str

    @property
    def is_authors(self) -> bool:
        """Whether it has the authors' own numbers."""
        return self.by != "rerun"

    @property
    def model(self) -> str:
        """The model's name without its owner's."""
        return _base(self.models[0])

    def runs_on(self, model: str) -> bool:
        """Whether a model, or a local copy that is called like it, is the row's."""
        return _base(model) in map(_base, self.models)

    def __str__(self) -> str:
        who = {"authors": "the authors' own", "copied": "the authors' own, printed", "rerun": "run again"}
        values = ", ".join(f"{METRIC_NAMES[key]} {value:g}" for key, value in self.numbers.items())
        remarks = [
            f"not counted: {self.uncounted}" if self.uncounted else "",
            self.note,
            "read at second hand" if self.read_from == "notes" else "",
        ]
        printed = f"{who[self.by]} in {self.source}, {self.model}: {values}"
        return "; ".join([printed, *filter(None, remarks)])


@dataclass(frozen=True)
class FittingRows:
    """The published rows that a combination's means can be held against.

    Attributes:
        rows: the authors' own first.
        obstacle: why there are none; empty if there are.
        left_out: rows of its method and model that do not fit, and why.
    """

    rows: Sequence[FurtherRow] = ()
    obstacle: str = ""
    left_out: Sequence[str] = ()

    @property
    def counted(self) -> list[FurtherRow]:
        """Those that are means of the same kind."""
        return [row for row in self.rows if not row.uncounted]

    def own(self, metric: str) -> float:
        """The authors' own mean of a metric; nan if it is not known."""
        return next(
            (row.numbers[metric] for row in self.counted if row.is_authors and metric in row.numbers), np.nan
        )

    def others(self, metric: str) -> list[float]:
        """The means of those who ran the method again."""
        return [row.numbers[metric] for row in self.counted if not row.is_authors and metric in row.numbers]


@cache
def load_further() -> tuple[FurtherRow, ...]:
    """Load the published rows beyond Table 1, the authors' own of each combination and model first."""
    rows = [_further(row) for row in published_rows() if row.source not in (TABLE_1, REPRODUCTION)]
    return tuple(sorted(filter(None, rows), key=lambda row: not row.is_authors))


def fitting_rows(inversion: str, method: str, given: Mapping[str, Any]) -> FittingRows:
    """Choose the published rows that fit a combination.

    Args:
        inversion: name of the inversion.
        method: name of the editing method.
        given: what is recorded of the combination, by names in ``--set``; ``model`` decides.
    """
    name, weights = f"{inversion}+{method}", given.get("weights", FULL)
    if weights != FULL:
        return FittingRows(obstacle=f"no published row is of quantised weights, and {name} has {weights}")
    of_pair = [row for row in load_further() if (row.inversion, row.method) == (inversion, method)]
    model = str(given.get("model", ""))
    here = f"{name} on {_base(model) or 'an unknown model'}"
    of_model = [row for row in of_pair if row.runs_on(model)]
    if not of_model:
        models = dict.fromkeys(row.model for row in of_pair)
        known = f"; there are rows of {name} on {', '.join(models)}" if of_pair else ""
        return FittingRows(obstacle=f"no published row is known for {here}{known}")
    misfits = [(row, setting_differences(given, row.settings)) for row in of_model]
    left_out = [f"{row.printed_in} is left out: {', '.join(why)}" for row, why in misfits if why]
    rows = [row for row, why in misfits if not why]
    obstacle = "" if rows else f"no published row for {here} has its settings"
    return FittingRows(rows, obstacle, left_out)


def setting_differences(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Name the settings that differ from published ones.

    >>> setting_differences({"steps": 8}, {"steps": 15, "guidance": 1})
    ['steps is 8, the published is 15', 'guidance is unknown, the published is 1']
    >>> setting_differences({"resolution": 512}, {"resolution": None})
    ['resolution is 512, the published is empty']
    """

    def said(value: Any) -> Any:
        return "empty" if value is None else value

    return [
        f"{field} is {said(given.get(field, 'unknown'))}, the published is {said(value)}"
        for field, value in wanted.items()
        if given.get(field, "unknown") != value
    ]


def further_remarks(
    found: FittingRows, given: Mapping[str, Any], conditions: Sequence[str] = ()
) -> list[str]:
    """Tell which published rows a combination is held against, and what is not as published.

    Args:
        found: from ``fitting_rows``.
        given: what is recorded of the combination.
        conditions: differences in which images were scored, and how.
    """
    if not found.rows:
        return list(found.left_out)
    apart = [*conditions, *_recipe_differences(found.rows[0], given)]
    own = [] if any(row.is_authors for row in found.rows) else ["its authors' own numbers are not known"]
    differing = [f"not as published: {'; '.join(apart)}"] if apart else []
    return [*own, *map(str, found.rows), *found.left_out, *differing]


def distance_from(measured: float, others: Sequence[float]) -> float:
    """How far a mean is outside of others' range: 0 inside, negative below; nan without others.

    >>> [distance_from(mean, [22.0, 23.0]) for mean in (21.5, 22.5, 24.0)]
    [-0.5, 0.0, 1.0]
    """
    if not others:
        return np.nan
    return min(measured - min(others), 0.0) + max(measured - max(others), 0.0)


@cache
def shipped_recipe(name: str) -> Recipe:
    """One of the package's recipes."""
    file = recipe_file(name)
    return build_recipe(read_recipe_fields(file), {}, str(file))


_OF_THE_MACHINE = ("model", "family", "revision", "precision", "seed")
"""Settings that are not compared: rows on several models share a recipe, and published ones are in half
precision, with the random numbers of a GPU."""


def _recipe_differences(row: FurtherRow, given: Mapping[str, Any]) -> list[str]:
    """What a combination has otherwise than the recipe with the method's published settings."""
    recipe = shipped_recipe(row.recipe) if row.recipe else None
    if recipe is None or (row.inversion, row.method) not in recipe.pairs:
        return []
    published = {**recipe.combination(row.inversion, row.method).flat(), **row.settings}
    meant = _as_meant(row, published)
    wanted = {field: value for field, value in meant.items() if field not in _OF_THE_MACHINE}
    return setting_differences(_as_meant(row, given), wanted)


def _as_meant(row: FurtherRow, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a row's combination with what their empty ones are, as far as the settings say that."""
    family = next(filter(None, map(family_of_id, row.models)), None)
    meant = {"source_guidance": settings.get("guidance"), "t5_length": family.t5_length if family else None}
    empty_means = INVERSIONS.get(row.inversion).empty_means
    if empty_means is not None and (steps := settings.get("steps")):
        meant |= {f"inversion.{name}": value for name, value in empty_means(steps).items()}
    return {name: meant.get(name) if value is None else value for name, value in settings.items()}


def _base(model: str) -> str:
    return Path(model).name


def _further(row: PublishedRow) -> FurtherRow | None:
    """A published row as one of a combination; None if it is of none here."""
    inversion, method = parts_of_name(row.combination)
    if not inversion:
        return None
    return FurtherRow(
        inversion=inversion,
        method=method,
        models=HUB_IDS[row.model],
        recipe=row.recipe,
        settings=row.settings,
        numbers=row.counted_numbers,
        source=row.source,
        printed_in=row.printed_in,
        read_from=row.read_from,
        by=row.by or "rerun",
        images=row.images,
        uncounted=row.uncounted,
        note=row.note,
    )
