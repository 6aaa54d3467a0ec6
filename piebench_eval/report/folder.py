"""Atomic report folders, which replace an older report."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import cannot_write, temporary_path
from piebench_eval.report import paths
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPORT = "piebench report"
_REMEDY = "make room or allow writing there, or name another folder with --out"


@contextmanager
def report_folder(folder: Path, made_by: str = REPORT) -> Iterator[Path]:
    """Yield a temporary folder, and rename it to the report folder when the body is done.

    If the body raises or is interrupted, the temporary folder is removed and an older report is unchanged.

    Args:
        folder: the report folder; it may be missing, empty, or an older report.
        made_by: the command that makes it.

    Yields:
        The temporary folder; it holds the marker file.

    Raises:
        PiebenchError: the folder holds something else, or cannot be written.
    """
    require_replaceable(folder, made_by)
    wanted = folder.resolve()
    partial, former = temporary_path(wanted), temporary_path(wanted, ".former")
    try:
        partial.mkdir(parents=True)
        about = {"made_by": made_by, "version": __version__}
        (partial / paths.MARKER).write_text(json.dumps(about), encoding="utf-8")
        yield partial
        require_replaceable(folder, made_by)  # images take minutes, in which the folder may have changed
        _exchange(partial, wanted, former)
    except OSError as error:
        raise cannot_write(folder, error, _REMEDY) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_replaceable(folder: Path, made_by: str = REPORT) -> None:
    """Check that a folder is missing, empty, or an older report.

    Raises:
        PiebenchError: it is a file, or a folder that the command ``made_by`` did not make.
    """
    if not folder.exists() or _is_made_by(folder, made_by):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise PiebenchError(f"--out {folder}: exists, and {made_by} did not make it; name another folder")


def _is_made_by(folder: Path, command: str) -> bool:
    try:
        about: Any = json.loads((folder / paths.MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("made_by") == command


def _exchange(partial: Path, wanted: Path, former: Path) -> None:
    """Rename a finished folder; the former one is removed only after that."""
    if not wanted.exists():
        partial.replace(wanted)
        return
    wanted.replace(former)
    try:
        partial.replace(wanted)
    except BaseException:  # an interrupt too
        former.replace(wanted)
        raise
    shutil.rmtree(former, ignore_errors=True)
