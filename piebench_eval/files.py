"""Write files atomically, append to logs, and read JSON and YAML files with plain errors."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

_SUFFIX = ".partial"
_STALE_SECONDS = 3600


def temporary_path(target: Path, suffix: str = _SUFFIX) -> Path:
    """The hidden name beside a file or folder under which this process writes it."""
    return target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}{suffix}")


def write_whole(file: Path, content: bytes) -> None:
    """Write a file atomically: under a temporary name beside it, flushed to disk, then renamed.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    _write_partial(file, content, lambda partial: partial.replace(file))


def write_new(file: Path, content: bytes) -> bool:
    """Write a file as ``write_whole`` does unless it exists; of concurrent writers, one wins.

    Returns:
        Whether this call wrote it.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    return _write_partial(file, content, lambda partial: _link(partial, file))


def _write_partial(file: Path, content: bytes, move: Callable[[Path], T]) -> T:
    partial = temporary_path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return move(partial)
    except OSError as error:
        raise cannot_write(file, error) from error
    finally:
        # Gone if it was renamed; left behind by a link, an error or an interrupt.
        with suppress(OSError):
            partial.unlink()


def _link(partial: Path, file: Path) -> bool:
    """Give a finished file its name unless that exists; returns whether it did."""
    try:
        file.hardlink_to(partial)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links: the check and the rename are two steps there.
        if file.exists():
            return False
        partial.replace(file)
    return True


def append_line(file: Path, line: str, sync: bool = True) -> None:
    """Append one or more lines; an incomplete last line left by a crash is ended first.

    Args:
        file: the log.
        line: the text to append, without the final newline.
        sync: wait until it is on the disk; otherwise a crash of the machine may lose it.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a+b") as stream:
            if stream.tell() > 0:
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    line = "\n" + line
            stream.write(line.encode() + b"\n")
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
    except OSError as error:
        raise cannot_write(file, error) from error


def read_json_lines(file: Path, fields: set[str]) -> tuple[list[dict[str, Any]], int]:
    """Read a log that ``append_line`` wrote.

    Returns:
        The objects that have these fields, and the number of other or incomplete lines.
    """
    entries, torn = [], 0
    for line in file.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict) and fields <= set(entry):
            entries.append(entry)
        else:
            torn += 1
    return entries, torn


def read_json_object(file: Path, parts: set[str], remedy: str) -> dict[str, Any]:
    """Read a JSON object that must have certain fields.

    Raises:
        PiebenchError: it is missing, damaged or no such object; ``remedy`` ends the message.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PiebenchError(f"{file}: missing or damaged ({error}); {remedy}") from None
    if not isinstance(content, dict) or not set(content) >= parts:
        raise PiebenchError(f"{file}: does not hold {', '.join(sorted(parts))}; {remedy}")
    return content


def read_yaml_mapping(file: Path, remedy: str) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping.

    Raises:
        PiebenchError: it cannot be read, or is no YAML mapping; ``remedy`` ends the message.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PiebenchError(f"{file}: cannot be read ({error}); {remedy}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise PiebenchError(f"{file}: is not valid YAML ({error}); {remedy}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PiebenchError(f"{file}: is no mapping; {remedy}")
    return content


def is_partial(file: Path) -> bool:
    """Whether a file is unfinished: being written, or left behind by a crash."""
    return file.name.startswith(".") and file.name.endswith(_SUFFIX)


def remove_stale_partials(folder: Path) -> None:
    """Remove unfinished files of dead processes on this host, or older than an hour."""
    for partial in folder.rglob(f".*{_SUFFIX}"):
        owner, _, pid = partial.name.removesuffix(_SUFFIX).rpartition(".")
        here = owner.endswith(f".{socket.gethostname()}")
        with suppress(OSError):
            if (here and pid.isdecimal() and not _is_alive(int(pid))) or _is_old(partial):
                partial.unlink()


def _is_old(file: Path) -> bool:
    return time.time() - file.stat().st_mtime > _STALE_SECONDS


_REMEDY = "what is finished is kept: make room or allow writing there, and run the same command again"


def cannot_write(path: object, error: OSError, remedy: str = _REMEDY) -> PiebenchError:
    """The error to raise when a file or folder cannot be written; ``remedy`` ends the message."""
    return PiebenchError(f"{path}: cannot be written ({error.strerror}); {remedy}")


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would send Ctrl-C there, since that is signal 0 there; the file's age decides
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
