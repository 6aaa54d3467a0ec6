"""Which entries of a zip archive may be unpacked, and its damage in plain errors."""

from __future__ import annotations

import re
import stat
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.data.messages import printable
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zipfile import ZipInfo

_DRIVE = re.compile("[A-Za-z]:")
_ENCRYPTED = 0x1


def member_problem(info: ZipInfo) -> str | None:
    """Explain why an entry must not be unpacked; None if it is a plain file or folder inside the archive."""
    name = info.orig_filename  # as stored: zipfile's own ends at a NUL
    if name.startswith("/") or _DRIVE.match(name) or "\\" in name or "\0" in name:
        return "has no plain relative path"
    if ".." in PurePosixPath(name).parts:
        return "leads out of the folder"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None


@contextmanager
def zip_errors(archive: str, if_missing: str, retry: str) -> Iterator[None]:
    """Raise whatever zipfile raises as a PiebenchError that names the archive.

    Args:
        archive: what to call it.
        if_missing: the remedy if there is no such file.
        retry: the remedy for a damaged one.
    """
    try:
        yield
    except PiebenchError:
        raise
    except FileNotFoundError:
        raise PiebenchError(f"{archive}: there is no such file; {if_missing}") from None
    except Exception as error:  # zipfile and its decompressors have a dozen errors for damage
        reason = printable(str(error)) if str(error) else type(error).__name__
        raise PiebenchError(f"{archive}: is damaged or no zip file ({reason}); {retry}") from None
