"""Overrides of a recipe: ``--set``, and how it changes the settings that single combinations have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from piebench_eval.registry import Registry

SECTIONS: dict[str, tuple[str, Registry[Any]]] = {
    "inversion": ("inversions", INVERSIONS),
    "method": ("methods", METHODS),
}
"""By prefix of ``--set``: the recipe's field and the registry of inversions and of methods."""

_SECTIONS_OF_A_COMBINATION = (*SECTIONS, "quirks")


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key.path=value``; the value is read as YAML.

    Raises:
        PiebenchError: no key or no "=".

    >>> parse_override("method.cross_replace_steps=0.8")
    ('method.cross_replace_steps', 0.8)
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise PiebenchError(f"--set {text}: write KEY=VALUE, for example method.cross_replace_steps=0.8")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return key.strip(), value


def without_overridden(combinations: Any, overridden: Callable[[str], Mapping[str, Any]]) -> Any:
    """The combinations' own settings without those that are overridden.

    Args:
        combinations: as in a recipe's file, unchecked.
        overridden: for the name of a combination, the overridden fields; of a section, which of its fields.
    """
    if not isinstance(combinations, dict):
        return combinations
    return {name: _without_fields(own, overridden(str(name))) for name, own in combinations.items()}


def _without_fields(own: Any, overridden: Mapping[str, Any]) -> Any:
    if not isinstance(own, dict):
        return own
    left = {
        field: value
        for field, value in own.items()
        if field in _SECTIONS_OF_A_COMBINATION or field not in overridden
    }
    for prefix in overridden.keys() & left.keys():
        if isinstance(section := left[prefix], dict):
            left[prefix] = {
                field: value for field, value in section.items() if field not in overridden[prefix]
            }
    return left


def as_understood(own: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """A combination's own settings with the values as validated: "20" becomes 20 for a number.

    A stored recipe can then be read without the code of its settings. Equal values stay as written, and with
    them the hash of the recipe.
    """

    def understood(key: str, value: Any) -> Any:
        return value if value == flat[key] else flat[key]

    return {
        field: {key: understood(f"{field}.{key}", inner) for key, inner in (value or {}).items()}
        if field in _SECTIONS_OF_A_COMBINATION
        else understood(field, value)
        for field, value in own.items()
    }
