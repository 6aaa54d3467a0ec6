"""Names that lead to inversions and methods, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from piebench_eval.errors import PiebenchError

T = TypeVar("T")


class Settings(BaseModel):
    """Base of every recipe section: unknown fields are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Registry(Generic[T]):
    """A table of names and where their objects live, as ``module:attribute``."""

    def __init__(self, kind: str, entries: dict[str, str]):
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._entries)

    def get(self, name: str) -> T:
        """Import and return what a name stands for.

        Raises:
            PiebenchError: the name is not registered.
        """
        if name not in self._entries:
            raise PiebenchError(f"no {self.kind} is called {name!r}; there are: {', '.join(self._entries)}")
        module, attribute = self._entries[name].split(":")
        return getattr(import_module(module), attribute)
