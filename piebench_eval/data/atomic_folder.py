"""Create a folder atomically: it exists completely or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.files import cannot_write, temporary_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REMEDY = "make room or allow writing there, and run the same command again"


def require_new(folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises:
        PiebenchError: it is a file, or not empty.
    """
    try:
        taken = any(folder.iterdir()) if folder.is_dir() else folder.exists()
    except OSError as error:
        raise cannot_write(f"--out {folder}", error, _REMEDY) from None
    if taken:
        raise PiebenchError(f"--out {folder}: is there already and not an empty folder; name another")


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Create a temporary folder, and rename it when the body has filled it.

    If the body raises or is interrupted, nothing is left behind.

    Args:
        folder: its final path; a folder there must be empty.

    Yields:
        The temporary folder, beside the final one.

    Raises:
        PiebenchError: the folder is not empty, or the disk cannot be written to.
    """
    require_new(folder)
    wanted = folder.resolve()
    partial = temporary_path(wanted)
    try:
        partial.mkdir(parents=True)
        yield partial
        _flush(partial)
        partial.replace(wanted)
    except OSError as error:
        raise cannot_write(f"--out {folder}", error, _REMEDY) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Flush every file to disk, so that a crash after the rename loses none of them."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("r+b") as stream:  # Windows flushes only files open for writing
                os.fsync(stream.fileno())
