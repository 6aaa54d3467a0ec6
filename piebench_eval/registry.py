"""Registries of inversions, methods, editors and metrics: where each name is defined.

That is in the package or in a plugin. An entry is imported when it is used, not before.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from difflib import get_close_matches
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """The installed entry points of a group, by name; kept, since a search reads every installed package."""
    return {point.name: point for point in entry_points(group=group)}


def source_hash(function: Callable[..., Any]) -> str:
    """SHA-256 of the file that defines a function; empty if it has no file."""
    while isinstance(function, partial):
        function = function.func
    written = function if inspect.isroutine(function) else type(function)
    file = inspect.getsourcefile(written)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""


class Registry(Generic[T]):
    """Where the inversions, methods, editors or metrics of each name are defined.

    Outside packages add to it through an entry point in the group ``piebench.inversions``,
    ``piebench.methods``, ``piebench.editors`` or ``piebench.metrics``.

    Attributes:
        kind: what is registered, for messages.
    """

    def __init__(
        self,
        kind: str,
        holds: type[T],
        entries: dict[str, str],
        name_problem: Callable[[str], str | None] = lambda name: None,
    ):
        """Start with entries ``name: "module:attribute"`` whose objects are of the class ``holds``.

        ``name_problem`` says why an entry from outside the package cannot have a name, or None.
        """
        self.kind, self._name_problem = kind, name_problem
        self._holds = holds
        self._entries = dict(entries)
        self._plugins: dict[str, tuple[T, str]] = {}

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(dict.fromkeys([*self._entries, *self._plugins, *self._entry_points()]))

    def get(self, name: str) -> T:
        """Import and return the entry of a name.

        Raises:
            PiebenchError: the name is not registered, or its plugin cannot be loaded.
        """
        if name in self._entries:
            module, attribute = self._entries[name].split(":")
            return getattr(import_module(module), attribute)
        if name in self._plugins:
            return self._plugins[name][0]
        if (found := self._entry_points().get(name)) is None:
            near = get_close_matches(name.lower(), self.names())
            known = f"is {' or '.join(near)} meant?" if near else f"there are: {', '.join(self.names())}"
            raise PiebenchError(f"no {self.kind} is called {name!r}; {known}")
        plugin = f"plugin {found.value}"
        try:
            entry: T = found.load()
        except Exception as error:
            raise PiebenchError(f"{plugin}: cannot be loaded ({type(error).__name__}: {error})") from error
        self._check(entry, name, plugin)
        return entry

    def add(self, name: str, entry: T, plugin: str) -> None:
        """Add an entry from a plugin.

        Args:
            name: its name in recipes.
            entry: the inversion or method.
            plugin: the plugin, for messages.

        Raises:
            PiebenchError: the package itself has that name, nothing can have it, or the entry is of another
                class.
        """
        if name in self._entries:
            raise PiebenchError(f"{plugin}: the {self.kind} {name!r} already exists; choose another name")
        self._check(entry, name, plugin)
        self._plugins[name] = entry, plugin

    def is_own(self, name: str) -> bool:
        """Whether a name is the package's own, not a plugin's."""
        return name in self._entries

    def origin(self, name: str) -> str | None:
        """The plugin that a name comes from; None for the package's own."""
        if name in self._entries:
            return None
        if name in self._plugins:
            return self._plugins[name][1]
        return f"plugin {self._entry_points()[name].value}"

    def release(self, name: str) -> str | None:
        """Name and version of the outside package that a name comes from; None for the package's own."""
        point = None if name in self._entries else self._entry_points().get(name)
        return f"{point.dist.name} {point.dist.version}" if point is not None and point.dist else None

    def _entry_points(self) -> dict[str, EntryPoint]:
        return _installed(f"piebench.{self.kind}s", tuple(sys.path))

    def _check(self, entry: object, name: str, plugin: str) -> None:
        if (problem := self._name_problem(name)) is not None:
            raise PiebenchError(f"{plugin}: {self.kind} {name!r} {problem}; choose another name")
        if not isinstance(entry, self._holds):
            raise PiebenchError(
                f"{plugin}: {self.kind} {name!r} is of type {type(entry).__name__}; make it a "
                f"{self._holds.__module__}.{self._holds.__name__}"
            )
