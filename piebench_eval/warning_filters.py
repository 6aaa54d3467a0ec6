"""Hide the warnings of other libraries, safely with several threads."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _AnyTextWhileIgnoring:
    """A filter's pattern that matches inside ``ignored_warnings`` only, in the thread that entered it."""

    def match(self, text: str) -> bool:
        return _ignoring.get()


_ignoring: ContextVar[bool] = ContextVar("ignoring warnings", default=False)
_FILTER: Any = ("ignore", _AnyTextWhileIgnoring(), Warning, None, 0)
_lock = Lock()
_inside = 0


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore warnings in the body, and nowhere else.

    ``warnings.catch_warnings`` saves the process's filters and restores them: if two threads overlap, the
    last to leave restores the other's filters for good. Here one filter is added and removed instead; if
    another ``catch_warnings`` restores it, it matches nothing.
    """
    global _inside
    with _lock:
        _inside += 1
        _put_filter_first()
    token = _ignoring.set(True)
    try:
        yield
    finally:
        _ignoring.reset(token)
        with _lock:
            _inside -= 1
            if _inside == 0:
                _remove_filter()


def _put_filter_first() -> None:
    """Move the filter to the front; it is never missing while a thread is inside."""
    filters = _filters()
    if filters[:1] != [_FILTER]:
        filters.insert(0, _FILTER)
        filters[1:] = [entry for entry in filters[1:] if entry != _FILTER]


def _remove_filter() -> None:
    filters = _filters()
    filters[:] = [entry for entry in filters if entry != _FILTER]


def _filters() -> list[Any]:
    filters: Any = warnings.filters  # typed as a read-only sequence
    return filters
