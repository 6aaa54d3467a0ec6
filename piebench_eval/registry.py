"""Names that lead to inversions and methods, imported only when asked for; and plugins that add to them."""

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

from pydantic import BaseModel, ConfigDict, ValidationError

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MOVED_FIELDS = {
    quirk: f"quirks.{quirk}"
    for quirk in (
        "pixel_overflow",
        "count_skipped_steps",
        "split_punctuation",
        "blend_maps",
        "lost_blend_word",
        "rate_steps",
    )
}
"""Fields that recipes once had elsewhere: where they are now."""


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points by name; found once for a path of packages, since every package is read for that."""
    return {point.name: point for point in entry_points(group=group)}


class Settings(BaseModel):
    """Base of every recipe section: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def explain_invalid(error: ValidationError, fields: Iterable[str] = ()) -> list[str]:
    """One line per problem: field, what is wrong, what was given.

    Args:
        error: what pydantic found.
        fields: those that there are, for a name that is none of them.
    """
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(no_such_field(field, fields))
        elif problem["type"] == "missing":
            lines.append(f"{field}: is missing")
        else:
            lines.append(f"{field}: {problem['msg']} (given: {problem['input']!r})")
    return lines


def no_such_field(name: str, fields: Iterable[str]) -> str:
    """A message about an unknown field, with the nearest known ones.

    >>> no_such_field("stepz", ["steps", "seed"]), no_such_field("x", ["steps", "seed"])
    ('stepz: no such field; is steps meant?', 'x: no such field; there are: steps, seed')
    """
    fields = list(fields)
    if (moved := MOVED_FIELDS.get(name.rpartition(".")[2])) and not name.startswith("quirks."):
        return f"{name}: is {moved} now, a field of the recipe's section quirks"
    near = get_close_matches(name, fields, n=3)
    if near:
        return f"{name}: no such field; is {' or '.join(near)} meant?"
    return f"{name}: no such field" + (f"; there are: {', '.join(fields)}" if fields else "")


def source_hash(function: Callable[..., Any]) -> str:
    """SHA-256 of the file that a function is written in; empty if it is written in none."""
    while isinstance(function, partial):
        function = function.func
    written = function if inspect.isroutine(function) else type(function)
    file = inspect.getsourcefile(written)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


class Registry(Generic[T]):
    """A table of names and where their objects live.

    Outside packages add to it through an entry point in the group ``piebench.inversions``,
    ``piebench.methods`` or ``piebench.metrics``.

    Attributes:
        kind: what is registered, for messages.
    """

    def __init__(self, kind: str, holds: type[T], entries: dict[str, str]):
        """Start with entries ``name: "module:attribute"`` whose objects are of the class ``holds``."""
        self.kind = kind
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
            raise PiebenchError(f"no {self.kind} is called {name!r}; there are: {', '.join(self.names())}")
        plugin = f"plugin {found.value}"
        try:
            entry: T = found.load()
        except Exception as error:
            raise PiebenchError(f"{plugin}: cannot be loaded ({type(error).__name__}: {error})") from error
        self._check(entry, name, plugin)
        return entry

    def add(self, name: str, entry: T, plugin: str) -> None:
        """Add what a plugin brings.

        Args:
            name: what users call it.
            entry: the inversion or method.
            plugin: where it comes from, for messages.

        Raises:
            PiebenchError: the package itself has that name, or the entry is something else.
        """
        if name in self._entries:
            raise PiebenchError(f"{plugin}: there is a {self.kind} {name!r} already; choose another name")
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
        if not isinstance(entry, self._holds):
            raise PiebenchError(
                f"{plugin}: {self.kind} {name!r} is of type {type(entry).__name__}; make it a "
                f"{self._holds.__module__}.{self._holds.__name__}"
            )
