"""Wildcards in a recipe file: ``INVERSION+*`` has settings for all combinations of an inversion."""

from __future__ import annotations

from typing import Any

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS

_ALL_METHODS = "+*"


def has_wildcards(combinations: Any) -> bool:
    """Whether ``combinations`` of a recipe uses ``INVERSION+*``, and so does not list single combinations.

    Args:
        combinations: as in a recipe file, unchecked.
    """
    return isinstance(combinations, dict) and any(str(name).endswith(_ALL_METHODS) for name in combinations)


def expand_wildcards(combinations: Any, inversions: Any, methods: Any) -> Any:
    """Expand ``INVERSION+*`` to the settings of every combination of the inversion.

    Args:
        combinations: as in a recipe file, unchecked.
        inversions: inversions of the recipe, by name.
        methods: likewise.

    Returns:
        All pairs with the settings of each, or None if no pair has any; ``combinations`` unchanged if it does
        not use ``INVERSION+*``.

    Raises:
        PiebenchError: single combinations are listed too, or an inversion or its settings are invalid.

    >>> expand_wildcards({"direct+*": {"guidance": 5}}, ["ddim", "direct"], "p2p")
    {'ddim+p2p': {}, 'direct+p2p': {'guidance': 5}}
    >>> expand_wildcards({"direct+*": {"guidance": 5}}, ["ddim"], "p2p")
    """
    if not has_wildcards(combinations):
        return combinations
    for name, own in combinations.items():
        if "+" not in str(name):
            continue  # an editor's
        if not str(name).endswith(_ALL_METHODS):
            raise PiebenchError(
                f"combinations.{name}: cannot be mixed with INVERSION{_ALL_METHODS}; use one kind of name"
            )
        INVERSIONS.get(name.removesuffix(_ALL_METHODS))
        if not isinstance(own, dict):
            raise PiebenchError(f"combinations.{name}: is no mapping of settings")
    pairs = {
        f"{inversion}+{method}": dict(combinations.get(f"{inversion}{_ALL_METHODS}", {}))
        for inversion in listed_names(inversions)
        for method in listed_names(methods)
    }
    of_editors = {name: own for name, own in combinations.items() if "+" not in str(name)}
    return {**pairs, **of_editors} if any(pairs.values()) or of_editors else None


def listed_names(given: Any) -> list[Any]:
    """Names in a recipe file, given as one name, a list, or a mapping to settings; else none."""
    if isinstance(given, str):
        return [given]
    return list(given) if isinstance(given, list | dict) else []
