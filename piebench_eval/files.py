"""Files that exist completely or not at all."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SUFFIX = ".partial"


def write_whole(file: Path, content: bytes) -> None:
    """Write under a temporary name beside the file, flush to disk, then rename.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    partial = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}{_SUFFIX}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise _cannot_write(file, error) from error


def append_line(file: Path, line: str) -> None:
    """Append a line and flush it to disk; a torn last line left by a crash is closed first.

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
            os.fsync(stream.fileno())
    except OSError as error:
        raise _cannot_write(file, error) from error


def read_json_lines(file: Path, fields: set[str]) -> Iterator[dict[str, Any]]:
    """The objects with these fields in a log that ``append_line`` wrote; torn lines are passed over."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict) and fields <= set(entry):
            yield entry


def remove_stale_partials(folder: Path) -> None:
    """Remove what processes of this machine that no longer live left half written."""
    for partial in folder.rglob(f".*{_SUFFIX}"):
        owner, _, pid = partial.name.removesuffix(_SUFFIX).rpartition(".")
        here = owner.endswith(f".{socket.gethostname()}")
        if here and pid.isdecimal() and not _is_alive(int(pid)):
            partial.unlink(missing_ok=True)


def _cannot_write(file: Path, error: OSError) -> PiebenchError:
    return PiebenchError(f"{file}: cannot be written ({error.strerror}); finished results are safe")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
