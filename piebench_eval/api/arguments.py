"""Arguments of Python calls, as the rest of the package takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def names(given: str | Sequence[str] | None) -> list[str] | None:
    """Names in a list, or in a text with commas between them; None stays None.

    Raises:
        PiebenchError: there is none.

    >>> names("0, 1,8"), names(["direct", "ddim"]), names(None)
    (['0', '1', '8'], ['direct', 'ddim'], None)
    """
    if given is None:
        return None
    items = given.split(",") if isinstance(given, str) else [str(item) for item in given]
    items = [item.strip() for item in items if item.strip()]
    if not items:
        raise PiebenchError(f"{given!r} is an empty list; write names with commas between them")
    return items
