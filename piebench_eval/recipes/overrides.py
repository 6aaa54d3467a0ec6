"""Overrides of a recipe (``--set``) and their effect on the settings of single combinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from piebench_eval.registry import Registry


class Section(NamedTuple):
    """A section of settings by name.

    Attributes:
        field: its field in a recipe: ``inversions``, ``methods`` or ``editors``.
        registry: what its names mean.
    """

    field: str
    registry: Registry[Any]


PAIR_SECTIONS = {"inversion": Section("inversions", INVERSIONS), "method": Section("methods", METHODS)}
"""Those of a combination by their prefix in ``--set``, in the order of ``INVERSION+METHOD``."""

SECTIONS = {**PAIR_SECTIONS, "editor": Section("editors", EDITORS)}
"""All sections by their prefix."""

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


def drop_common_fields(combinations: Any, fields: Container[str]) -> Any:
    """The combinations' own settings without some common fields.

    Args:
        combinations: as in a recipe's file, unchecked.
        fields: names of the fields.
    """
    if not isinstance(combinations, dict):
        return combinations
    kept: dict[Any, Any] = {}
    for name, own in combinations.items():
        kept[name] = own
        if isinstance(own, dict):
            kept[name] = {
                field: value
                for field, value in own.items()
                if field in _SECTIONS_OF_A_COMBINATION or field not in fields
            }
    return kept


def drop_section_field(
    combinations: Any, prefix: str, field: str, concerns: Callable[[str], bool] = lambda name: True
) -> Any:
    """The combinations' own settings without one field of a section.

    Args:
        combinations: as in a recipe's file, unchecked.
        prefix: the section: ``inversion``, ``method``, ``editor`` or ``quirks``.
        field: name of the field.
        concerns: whether a combination, given by its name, loses the field; all of them by default.
    """
    if not isinstance(combinations, dict):
        return combinations
    kept = dict(combinations)
    for name, own in combinations.items():
        section = own.get(prefix) if isinstance(own, dict) else None
        if isinstance(section, dict) and field in section and concerns(str(name)):
            kept[name] = {**own, prefix: {key: value for key, value in section.items() if key != field}}
    return kept


def as_validated(own: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """A combination's own settings with their values as validated: "20" becomes 20 for a number.

    A stored recipe can then be read without the code of its settings. Equal values stay as written, and with
    them the hash of the recipe.

    Args:
        own: the settings that differ in the combination, as in a recipe's file.
        flat: all settings of the combination as validated, by their names in ``--set``.
    """

    def validated(name: str, written: Any) -> Any:
        return written if written == flat[name] else flat[name]

    result: dict[str, Any] = {}
    for field, value in own.items():
        if field in _SECTIONS_OF_A_COMBINATION:
            section = value or {}
            result[field] = {key: validated(f"{field}.{key}", inner) for key, inner in section.items()}
        else:
            result[field] = validated(field, value)
    return result
