"""Settings of a recipe file for all combinations of an inversion: ``INVERSION+*``."""

from __future__ import annotations

from typing import Any

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS

_ALL_METHODS = "+*"


def is_shared(combinations: Any) -> bool:
    """Whether ``combinations`` of a recipe uses ``INVERSION+*``, and so does not list single combinations.

    Args:
        combinations: as in a recipe file, unchecked.
    """
    return isinstance(combinations, dict) and any(str(name).endswith(_ALL_METHODS) for name in combinations)


def spread(combinations: Any, inversions: Any, methods: Any) -> Any:
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

    >>> spread({"direct+*": {"guidance": 5}}, ["ddim", "direct"], "p2p")
    {'ddim+p2p': {}, 'direct+p2p': {'guidance': 5}}
    >>> spread({"direct+*": {"guidance": 5}}, ["ddim"], "p2p")
    """
    if not is_shared(combinations):
        return combinations
    for name, own in combinations.items():
        if not str(name).endswith(_ALL_METHODS):
            raise PiebenchError(
                f"combinations.{name}: cannot be mixed with INVERSION{_ALL_METHODS}; use one kind of name"
            )
        INVERSIONS.get(name.removesuffix(_ALL_METHODS))
        if not isinstance(own, dict):
            raise PiebenchError(f"combinations.{name}: is no mapping of settings")
    pairs = {
        f"{inversion}+{method}": dict(combinations.get(f"{inversion}{_ALL_METHODS}", {}))
        for inversion in _names(inversions)
        for method in _names(methods)
    }
    return pairs if any(pairs.values()) else None


def _names(given: Any) -> list[Any]:
    """Names in a recipe file, given as one name, a list, or a mapping to settings."""
    if isinstance(given, str):
        return [given]
    return list(given) if isinstance(given, list | dict) else []
