"""Write a pack's archive: the same files give the same bytes, on any machine and at any time."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from piebench_eval.files import cannot_write, temporary_path
from piebench_eval.packs.layout import CHECKSUMS_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that an entry can have."""

_UNIX, _PLAIN_FILE = 3, 0o100644
_REMEDY = "make room or allow writing there, and run the same command again"


def write_archive(file: Path, files: Mapping[str, bytes | Path]) -> str:
    """Write files and their checksums into a zip archive, sorted by path.

    Entries have no times or owners, and are stored as they are: pictures are compressed already, and versions
    of zlib compress the rest differently. The archive gets its name when it is complete.

    Args:
        file: the archive.
        files: contents, or files to copy, by path in the archive.

    Returns:
        The archive's SHA-256.

    Raises:
        PiebenchError: the disk is full, or the place cannot be written to.
    """
    whole = {**files, CHECKSUMS_FILE: checksums_text({path: sha256_of(each) for path, each in files.items()})}
    partial = temporary_path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with ZipFile(partial, "w", ZIP_STORED) as archive:
            for path in sorted(whole):
                _write_entry(archive, path, whole[path])
        partial.replace(file)
    except OSError as error:
        raise cannot_write(f"--out {file}", error, _REMEDY) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return sha256_of(file)


def checksums_text(digests: Mapping[str, str]) -> bytes:
    """The content of the file of checksums: SHA-256 and path, a line each, sorted by path."""
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests)).encode()


def sha256_of(content: bytes | Path) -> str:
    """SHA-256 of a content, or of a file's."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_entry(archive: ZipFile, path: str, content: bytes | Path) -> None:
    entry = ZipInfo(path, _EPOCH)
    entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE << 16
    if isinstance(content, bytes):
        archive.writestr(entry, content)
        return
    entry.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target)
