"""Convert arguments of the Python functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.editors.function import EditFunction


def names(given: str | Sequence[str] | None) -> list[str] | None:
    """Names from a list, or from a text that separates them by commas; None stays None.

    Raises:
        PiebenchError: the list is empty.

    >>> names("0, 1,8"), names(["direct", "ddim"]), names(None)
    (['0', '1', '8'], ['direct', 'ddim'], None)
    """
    if given is None:
        return None
    items = given.split(",") if isinstance(given, str) else [str(item) for item in given]
    items = [item.strip() for item in items if item.strip()]
    if not items:
        raise PiebenchError(f"{given!r} is an empty list; give names, separated by commas")
    return items


def editor_names(given: str | Sequence[str] | EditFunction | None) -> list[str] | None:
    """Names of editors, as ``names`` takes them; a function is registered as one.

    Raises:
        PiebenchError: the list is empty, or the function has no name of its own.
    """
    from piebench_eval.editors.function import register_function

    return [register_function(given)] if callable(given) else names(given)
