"""Keeping other libraries' warnings from the user, from any number of threads at once."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _AnyTextWhileIgnoring:
    """A filter's pattern that matches wherever ``ignored_warnings`` is entered, and in no other thread."""

    def match(self, text: str) -> bool:
        return _ignoring.get()


_ignoring: ContextVar[bool] = ContextVar("ignoring warnings", default=False)
_FILTER: Any = ("ignore", _AnyTextWhileIgnoring(), Warning, None, 0)
_lock = Lock()
_inside = 0


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore the warnings of the body, and of nobody else.

    ``warnings.catch_warnings`` keeps a copy of the process's filters and puts it back: of two threads that
    overlap, or of a thread and any library's own ``catch_warnings``, the last to leave puts back what the
    other had set, for good. Here nothing is put back: one filter is added and taken away, and where somebody
    else's copy brings it back, it matches nothing.
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
    """Put the filter before whatever was set meanwhile; those who are inside are never without it."""
    filters = _filters()
    if filters[:1] != [_FILTER]:
        filters.insert(0, _FILTER)
        filters[1:] = [entry for entry in filters[1:] if entry != _FILTER]


def _remove_filter() -> None:
    filters = _filters()
    filters[:] = [entry for entry in filters if entry != _FILTER]


def _filters() -> list[Any]:
    filters: Any = warnings.filters  # typed as a sequence, which it is for readers
    return filters
