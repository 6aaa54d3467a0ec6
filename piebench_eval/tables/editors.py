"""What prompted a table's rows, and whether masks were used: columns for programs, remarks for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.editors.described import MASKS, PROMPTED_BY
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_OF_PAIRS = {PROMPTED_BY: "target prompt", MASKS: "none"}
"""What holds for every inversion with a method."""


def with_declared(table: pd.DataFrame, provenance: Mapping[str, Any]) -> pd.DataFrame:
    """Add what prompted each row and which masks it used, as last columns.

    Rows that no run made have empty cells. A table without an editor is returned as it is.

    Args:
        table: a row per combination, or several.
        provenance: from ``read_provenance``.
    """
    combinations = provenance.get("combinations", {})
    if not _declared(provenance):
        return table
    labels = label_columns(table)
    names = [
        row["combination"] if "combination" in table.columns else combination_name(row, labels)
        for row in table.to_dict(orient="records")
    ]
    return table.assign(
        **{
            column: [
                combinations[name].get(column, of_pairs) if name in combinations else "" for name in names
            ]
            for column, of_pairs in _OF_PAIRS.items()
        }
    )


def editor_remarks(provenance: Mapping[str, Any]) -> list[str]:
    """What prompted editors and whether they looked at masks, a line for those of a kind.

    Args:
        provenance: from ``read_provenance``.
    """
    names_of: dict[str, list[str]] = {}
    for name, settings in _declared(provenance).items():
        line = f"prompted by: {settings[PROMPTED_BY]}; masks used: {settings.get(MASKS, 'not declared')}"
        names_of.setdefault(line, []).append(name)
    return [f"{', '.join(names)}: {line}" for line, names in names_of.items()]


def _declared(provenance: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings of the editors among the combinations."""
    combinations = provenance.get("combinations", {})
    return {
        name: each for name, each in combinations.items() if isinstance(each, dict) and PROMPTED_BY in each
    }
