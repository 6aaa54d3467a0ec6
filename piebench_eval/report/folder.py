"""A report folder: written whole or not at all, and put in an older report's place."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import temporary_path
from piebench_eval.report import paths
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MADE_BY = "piebench report"


@contextmanager
def report_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside the wanted one, and put it there when the body has filled it.

    If the body raises, or is interrupted, an older report stays as it was and nothing else is left.

    Args:
        folder: the report; it may be missing, empty, or a report that this function made.

    Yields:
        The temporary folder, which holds the marker.

    Raises:
        PiebenchError: the wanted folder holds something else, or the disk cannot be written to.
    """
    require_replaceable(folder)
    wanted = folder.resolve()
    partial, former = temporary_path(wanted), temporary_path(wanted, ".former")
    try:
        partial.mkdir(parents=True)
        about = {"made_by": _MADE_BY, "version": __version__}
        (partial / paths.MARKER).write_text(json.dumps(about), encoding="utf-8")
        yield partial
        require_replaceable(folder)  # pictures take minutes, in which anything may have come there
        _exchange(partial, wanted, former)
    except OSError as error:
        raise PiebenchError(
            f"{folder}: cannot be written ({error.strerror}); make room or allow writing there, or name "
            "another folder with --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_replaceable(folder: Path) -> None:
    """Refuse a place that holds anything but an older report.

    Raises:
        PiebenchError: it is a file, or a folder that ``piebench report`` did not make.
    """
    if not folder.exists() or _is_report(folder):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise PiebenchError(
            f"--out {folder}: is there already, and piebench report did not make it; name another folder"
        )


def _is_report(folder: Path) -> bool:
    try:
        about: Any = json.loads((folder / paths.MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(about, dict) and about.get("made_by") == _MADE_BY


def _exchange(partial: Path, wanted: Path, former: Path) -> None:
    """Give a finished folder its name; what had the name before goes only after that."""
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
