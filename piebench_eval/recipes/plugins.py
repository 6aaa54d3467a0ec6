"""Plugin files, which add inversions, methods and editors: loading, and errors that name them."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.device_errors import is_out_of_memory
from piebench_eval.registry import source_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

_TABLES: dict[str, Any] = {"INVERSIONS": INVERSIONS, "METHODS": METHODS, "EDITORS": EDITORS}

_CODE: dict[tuple[str, str], str] = {}
"""Hashes of the source of each plugin file's entry, as it was executed, by kind and name."""


def load_plugins(files: Sequence[str] | None, known: Mapping[str, str] | None = None) -> None:
    """Load plugin files and register their inversions, methods and editors.

    A plugin is a Python file with a table ``METHODS = {"name": Method(...)}``, or ``INVERSIONS`` or
    ``EDITORS`` likewise, or several. The bytes that are hashed are the bytes that are executed.

    Args:
        files: the plugin files.
        known: SHA-256 of the files that a run began with; a file that differs is not executed.

    Raises:
        PiebenchError: a file is missing, is not the known one, fails, or defines no inversion, method or
            editor.
    """
    for name in files or ():
        file, plugin = Path(name), f"plugin {name}"
        if not file.is_file():
            raise PiebenchError(f"{plugin}: no such file")
        source = file.read_bytes()
        digest = hashlib.sha256(source).hexdigest()
        if known and known.get(name, digest) != digest:
            raise PiebenchError(f"{plugin}: changed since the run began; choose another --out, or restore it")
        with _executed(file, plugin, source) as module:
            _register(vars(module), plugin, digest)


def code_of(inversions: Iterable[str], methods: Iterable[str], editors: Iterable[str] = ()) -> dict[str, str]:
    """Hashes of the source of inversions, methods and editors from plugins, by kind and name.

    Those of the package are left out: its version identifies their source.

    Raises:
        PiebenchError: a name is not registered.
    """
    found = {}
    for registry, names in ((INVERSIONS, inversions), (METHODS, methods), (EDITORS, editors)):
        for name in names:
            if registry.origin(name) is not None:
                installed = f"{registry.release(name)} {source_hash(_function(registry.get(name)))}"
                found[f"{registry.kind} {name}"] = _CODE.get((registry.kind, name), installed)
    return found


@contextmanager
def plugin_errors(inversion: str, method: str) -> Iterator[None]:
    """Turn errors of a plugin in the body into errors that name the plugin.

    Raises:
        PiebenchError: the body failed, and the inversion, the method or the editor is from a plugin.
    """
    parts = ((INVERSIONS, inversion), (METHODS, method)) if inversion else ((EDITORS, method),)
    plugins: dict[str, Any] = {
        origin: registry.get(name)
        for registry, name in parts
        if (origin := registry.origin(name)) is not None
    }
    try:
        yield
    except (PiebenchError, MemoryError):
        raise
    except Exception as error:
        if not plugins or is_out_of_memory(error):
            raise
        place, plugin = _find_source(error, plugins)
        raise PiebenchError(
            f"{plugin}: failed in {combination_name(inversion, method)} with {type(error).__name__}: "
            f"{error} ({place}){_CHANGED if _asks_for_an_old_name(error) else ''}"
        ) from error


_CHANGED = "; CHANGELOG.md has the names that changed since it was written"


def _asks_for_an_old_name(error: Exception) -> bool:
    """Whether an error comes of a name that the package does not have, and perhaps had."""
    if isinstance(error, AttributeError):
        of_package = type(error.obj).__module__.startswith("piebench_eval")
        return "piebench_eval" in str(error) or (of_package and "has no attribute" in str(error))
    if isinstance(error, TypeError):
        return "unexpected keyword argument" in str(error) or "positional argument" in str(error)
    return isinstance(error, ImportError) and "piebench_eval" in str(error)


@contextmanager
def _executed(file: Path, plugin: str, source: bytes) -> Iterator[ModuleType]:
    """Execute the source of a plugin as a module; if that or the body fails, the module is removed.

    The module is in ``sys.modules`` while its code runs, under a unique name: dataclasses and pydantic look
    annotations up there. Cached bytecode is not used, since it can be older than the source.
    """
    digest = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:12]
    name = f"piebench_plugin_{file.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise PiebenchError(f"{plugin}: is no Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        _execute(module, file, plugin, source)
        yield module
    except BaseException:
        sys.modules.pop(name, None)
        if before is not None:
            sys.modules[name] = before
        raise


def _execute(module: ModuleType, file: Path, plugin: str, source: bytes) -> None:
    try:
        exec(compile(source, str(file), "exec", dont_inherit=True), vars(module))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
        where = f", line {lines[-1]}" if lines else ""
        remedy = _CHANGED if _asks_for_an_old_name(error) else ""
        raise PiebenchError(f"{plugin}{where}: {type(error).__name__}: {error}{remedy}") from error


def _register(content: Mapping[str, Any], plugin: str, digest: str) -> None:
    tables = {table: content[table] for table in _TABLES if table in content}
    if not tables:
        raise PiebenchError(
            f'{plugin}: defines neither METHODS = {{"name": Method(...)}} nor INVERSIONS nor EDITORS'
        )
    for table, entries in tables.items():
        if not isinstance(entries, dict) or not entries:
            raise PiebenchError(f"{plugin}: {table} is no mapping of names")
        for name, entry in entries.items():
            registry = _TABLES[table]
            registry.add(name, entry, plugin)
            # The plugin's file, and the file of its function if that is imported.
            _CODE[registry.kind, name] = f"{digest} {source_hash(_function(entry))}"


def _function(entry: Any) -> Callable[..., Any]:
    """The function of an inversion, a method or an editor."""
    names = ("invert", "prepare", "edit_latents", "edit")
    function: Callable[..., Any] = next(filter(None, (getattr(entry, name, None) for name in names)))
    return inspect.unwrap(function)  # of a function as an editor, its own source


def _find_source(error: Exception, plugins: dict[str, Any]) -> tuple[str, str]:
    """The innermost line of a traceback in a plugin's folder, and the plugin.

    If no line is in one, the last line, and all of the plugins.
    """
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        for origin, entry in plugins.items():
            if Path(frame.filename).is_relative_to(Path(inspect.getfile(_function(entry))).parent):
                return f"{frame.filename}, line {frame.lineno}", origin
    return f"{frames[-1].filename}, line {frames[-1].lineno}", " and ".join(plugins)
