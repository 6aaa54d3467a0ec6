"""Inversions and methods from outside: loading their files, and naming them when they fail."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.backbone.device_errors import is_out_of_memory
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TABLES: dict[str, Any] = {"INVERSIONS": INVERSIONS, "METHODS": METHODS}


def load_plugins(files: Sequence[str] | None) -> None:
    """Load plugin files and register what they bring.

    A plugin is a Python file with a table ``METHODS = {"name": Method(...)}``, or ``INVERSIONS`` likewise, or
    both.

    Raises:
        PiebenchError: a file that is missing, fails, or brings nothing.
    """
    for name in files or ():
        file, plugin = Path(name), f"plugin {name}"
        if not file.is_file():
            raise PiebenchError(f"{plugin}: no such file")
        tables = {table: entries for table, entries in _run(file, plugin).items() if table in _TABLES}
        if not tables:
            raise PiebenchError(f'{plugin}: defines neither METHODS = {{"name": Method(...)}} nor INVERSIONS')
        for table, entries in tables.items():
            if not isinstance(entries, dict) or not entries:
                raise PiebenchError(f"{plugin}: {table} is no mapping of names")
            for entry_name, entry in entries.items():
                _TABLES[table].add(entry_name, entry, plugin)


@contextmanager
def blamed_plugins(inversion: str, method: str) -> Iterator[None]:
    """Turn an error in the body into one that names the plugin, if a plugin takes part.

    Raises:
        PiebenchError: the body failed and the inversion or the method is a plugin's.
    """
    plugins = {
        origin: registry.get(name)
        for registry, name in ((INVERSIONS, inversion), (METHODS, method))
        if (origin := registry.origin(name)) is not None
    }
    try:
        yield
    except (PiebenchError, MemoryError):
        raise
    except Exception as error:
        if not plugins or is_out_of_memory(error):
            raise
        place, guilty = _innermost(error, plugins)
        raise PiebenchError(
            f"{guilty}: failed in {inversion}+{method} with {type(error).__name__}: {error} ({place})"
        ) from error


def _run(file: Path, plugin: str) -> Mapping[str, Any]:
    spec = importlib.util.spec_from_file_location(f"piebench_plugin_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise PiebenchError(f"{plugin}: is no Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
        where = f", line {lines[-1]}" if lines else ""
        raise PiebenchError(f"{plugin}{where}: {type(error).__name__}: {error}") from error
    return vars(module)


def _innermost(error: Exception, plugins: dict[str, Any]) -> tuple[str, str]:
    """The last place of a traceback inside a plugin's folder, and that plugin; or else where it ended."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        for origin, entry in plugins.items():
            function = getattr(entry, "invert", None) or entry.prepare
            if Path(frame.filename).is_relative_to(Path(inspect.getfile(function)).parent):
                return f"{frame.filename}, line {frame.lineno}", origin
    return f"{frames[-1].filename}, line {frames[-1].lineno}", " and ".join(plugins)
