"""What prompted the editors among a table's rows, and whether they looked at masks: remarks for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.editors.described import MASKS, PROMPTED_BY

if TYPE_CHECKING:
    from collections.abc import Mapping


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
