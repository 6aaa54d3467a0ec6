"""Folders that exist completely or not at all."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from piebench_eval.errors import PiebenchError
from piebench_eval.files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REMEDY = "make room or allow writing there, and run the same command again"


def require_new(folder: Path) -> None:
    """Refuse a folder that holds something already.

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
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside the wanted one, and rename it when the body has filled it.

    If the body raises, or is interrupted, nothing is left behind.

    Args:
        folder: what it will be called; it may exist if it is empty.

    Yields:
        The temporary folder.

    Raises:
        PiebenchError: the wanted folder holds something, or the disk cannot be written to.
    """
    require_new(folder)
    wanted = folder.resolve()
    partial = wanted.with_name(f".{wanted.name}.{socket.gethostname()}.{os.getpid()}.partial")
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
    """Wait until every file is on the disk: the rename must not survive a crash that they do not."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("r+b") as stream:  # Windows flushes nothing that is open for reading alone
                os.fsync(stream.fileno())
