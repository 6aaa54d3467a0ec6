"""At which resolutions edits were made, saved and scored: columns for programs, remarks for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.data.images import KEEPS_SIZE
from piebench_eval.recipes.combination import LATER_SETTINGS
from piebench_eval.scoring.resolutions import SAVED, SOURCES, WORKING
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLUMNS = {"resolution": WORKING, "image_loader": "image_loader", "output_resolution": SAVED}
"""Columns of a table, named as in a recipe, by what they hold."""

_FILTER = "output_filter"


def with_resolutions(table: pd.DataFrame, provenance: Mapping[str, Any]) -> pd.DataFrame:
    """Add how each row's edits got in and out, as last columns: resolution, loader, output resolution.

    Where edits were resized before they were saved, the filter comes before them.

    Both resolutions are shorter sides in pixels, and numbers also where the recipe leaves them empty. Rows
    that no run made have empty cells. A table without any row of a run is returned as it is, and so is one
    of scores of an earlier version, which do not say it.

    Args:
        table: a row per combination, or several.
        provenance: from ``read_provenance``.
    """
    known = _combinations(provenance)
    if not known:
        return table
    labels = label_columns(table)
    names = [
        row["combination"] if "combination" in table.columns else combination_name(row, labels)
        for row in table.to_dict(orient="records")
    ]
    filters = [_filter_in_force(known[name]) if name in known else None for name in names]
    if any(filters):
        table = table.assign(**{_FILTER: pd.Series(filters, index=table.index, dtype=object)})
    # As objects: beside an empty cell, pandas would make 512 a number with a fraction.
    columns = {
        column: pd.Series([known.get(name, {}).get(field) for name in names], index=table.index, dtype=object)
        for column, field in _COLUMNS.items()
    }
    return table.assign(**columns)


def resolution_remarks(provenance: Mapping[str, Any]) -> list[str]:
    """What happened to the size of edits and sources on their way to the scores.

    Nothing is said of edits that were made, saved and scored in their sources' resolution.

    Args:
        provenance: from ``read_provenance``.
    """
    known = _combinations(provenance)
    names_of: dict[str, list[str]] = {}
    for name, settings in known.items():
        for line in _lines(settings):
            names_of.setdefault(line, []).append(name)
    return [
        line if len(names) == len(known) else f"{', '.join(names)}: {line}"
        for line, names in names_of.items()
    ]


def _combinations(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of the combinations whose saved resolution is known, or is each source's own."""
    combinations = provenance.get("combinations", {})
    return {
        name: each
        for name, each in combinations.items()
        if isinstance(each, dict) and (each.get(SAVED) or (SAVED in each and _keeps_size(each)))
    }


def _filter_in_force(settings: Mapping[str, Any]) -> str | None:
    """The filter that edits were resized by before they were saved; None if they were not."""
    if settings.get(WORKING) in (None, settings.get(SAVED)):
        return None
    return str(settings.get(_FILTER, LATER_SETTINGS[_FILTER]))


def _keeps_size(settings: Mapping[str, Any]) -> bool:
    return settings.get("image_loader") == KEEPS_SIZE


def _lines(settings: Mapping[str, Any]) -> Iterator[str]:
    working, saved, sources = (settings.get(field) for field in (WORKING, SAVED, SOURCES))
    loader = settings.get("image_loader")
    if (output_filter := _filter_in_force(settings)) is not None:
        yield (
            f"edits were made at {working} pixels (image_loader={loader}), and resized to {saved} "
            f"(output_resolution) by PIL's {output_filter} filter before they were saved and scored"
        )
    if saved is None and _keeps_size(settings):
        yield (
            f"sources of several sizes were cut as their edits, by image_loader={loader}, where their sides "
            "are not multiples of what the model takes"
        )
    if sources == saved:
        return
    size = f"of {sources} pixels" if sources else "of several sizes"
    line = (
        f"sources {size} were brought to the {saved} pixels of their edits by image_loader={loader} for "
        "scoring"
    )
    larger = isinstance(sources, int) and isinstance(saved, int) and saved > sources
    yield f"{line}; output_resolution={sources} saves edits in their size" if larger else line
