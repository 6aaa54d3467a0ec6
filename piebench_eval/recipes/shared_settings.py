"""What a recipe's file has for all combinations of an inversion: ``INVERSION+*``."""

from __future__ import annotations

from typing import Any

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS

_ALL_METHODS = "+*"


def is_shared(combinations: Any) -> bool:
    """Whether what a recipe has for combinations is for all of an inversion, and so does not list them.

    Args:
        combinations: as in a recipe's file, or whatever stands in its place.
    """
    return isinstance(combinations, dict) and any(str(name).endswith(_ALL_METHODS) for name in combinations)


def spread(combinations: Any, inversions: Any, methods: Any) -> Any:
    """Give each combination what the recipe has for all of its inversion's.

    Args:
        combinations: as in a recipe's file, or whatever stands in its place.
        inversions: the recipe's, by name.
        methods: likewise.

    Returns:
        All pairs with what each has of its own, or None if none of them has anything; what does not say
        ``INVERSION+*`` as it is.

    Raises:
        PiebenchError: single combinations stand there too, there is no such inversion, or it has no settings.

    >>> spread({"direct+*": {"guidance": 5}}, ["ddim", "direct"], "p2p")
    {'ddim+p2p': {}, 'direct+p2p': {'guidance': 5}}
    >>> spread({"direct+*": {"guidance": 5}}, ["ddim"], "p2p")
    """
    if not is_shared(combinations):
        return combinations
    for name, own in combinations.items():
        if not str(name).endswith(_ALL_METHODS):
            raise PiebenchError(
                f"combinations.{name}: stands beside INVERSION{_ALL_METHODS}; use one kind of name only"
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
    """Names in a recipe's file: one, several, or with settings."""
    if isinstance(given, str):
        return [given]
    return list(given) if isinstance(given, list | dict) else []
