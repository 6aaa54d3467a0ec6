"""Unpack a pack that comes from anybody: nothing is written outside of its folder, or beyond its size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZIP_STORED, ZipFile

from piebench_eval.data.messages import printable
from piebench_eval.data.zip_members import member_problem, zip_errors
from piebench_eval.errors import PiebenchError
from piebench_eval.files import cannot_write
from piebench_eval.packs.layout import ABOUT_FILE, SUFFIX, belongs_to_pack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zipfile import ZipInfo

MAX_BYTES = 64 * 2**30
"""Total size of a pack's files; twelve combinations of PIE-Bench take about 5 GB."""

MAX_FILES = 200_000

MAX_NAME = 1000
"""Characters of a file's path: a long one of many short parts is itself a bomb, as each part is looked at."""

_CHUNK_BYTES = 2**20
_RETRY = "download it again, or ask for one that piebench pack has written"
_MAKE_ROOM = "make room or allow writing there, and run the same command again"


@dataclass(frozen=True)
class Unpacked:
    """A pack that was unpacked.

    Attributes:
        folder: where its files lie, as in a run folder.
        digests: SHA-256 of each file, by path.
        strangers: entries that no pack has; they were not unpacked.
    """

    folder: Path
    digests: dict[str, str]
    strangers: list[str] = field(default_factory=list)


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Unpack an archive into a folder of its own.

    Only plain files are accepted whose names a pack can have, stored as they are, in total no larger than the
    archive: then nothing can be written elsewhere, and no small archive becomes a large folder.

    Args:
        archive: the pack.
        folder: an empty folder.

    Raises:
        PiebenchError: the archive is none, damaged, or has an entry that must not be unpacked.
    """
    with zip_errors(str(archive), f"name a pack, NAME{SUFFIX}", _RETRY), ZipFile(archive) as opened:
        entries = opened.infolist()
        if problem := _problem(entries, archive.stat().st_size):
            raise PiebenchError(f"{archive}: {problem}; {_RETRY}")
        known = [info for info in entries if belongs_to_pack(info.filename)]
        if ABOUT_FILE not in {info.filename for info in known}:
            raise PiebenchError(f"{archive}: is no pack (no {ABOUT_FILE}); make one with piebench pack RUN")
        digests = {info.filename: _write(opened, info, folder) for info in known}
    strangers = [info.filename for info in entries if not belongs_to_pack(info.filename)]
    return Unpacked(folder, digests, strangers)


def _problem(entries: Sequence[ZipInfo], archive_bytes: int) -> str | None:
    """Explain why an archive must not be unpacked; None if all its entries are harmless."""
    if len(entries) > MAX_FILES:
        return f"has {len(entries)} entries, more than {MAX_FILES}"
    names: set[str] = set()
    for info in entries:
        if len(info.orig_filename) > MAX_NAME:
            return f"has an entry whose name is longer than {MAX_NAME} characters"
        if problem := _entry_problem(info):
            return f"entry {printable(repr(info.orig_filename))} {problem}"
        if info.filename.casefold() in names:  # some disks do not tell upper from lower case
            return f"entry {printable(repr(info.filename))} occurs twice"
        names.add(info.filename.casefold())
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    if both := sorted(names & folders):
        return f"entry {printable(repr(both[0]))} is a file and a folder"
    if (total := sum(info.file_size for info in entries)) > min(MAX_BYTES, archive_bytes):
        return f"unpacks to {total} bytes, more than it has itself or a pack can have"
    return None


def _entry_problem(info: ZipInfo) -> str | None:
    if problem := member_problem(info):
        return problem
    if info.is_dir():
        return "is a folder, which a pack has not"
    path = PurePosixPath(info.filename)
    if not info.filename.isprintable() or str(path) != info.filename or any(map(_is_odd, path.parts)):
        return "has no plain name"
    if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed, and a pack's files are stored as they are"
    return None


def _is_odd(part: str) -> bool:
    """Whether Windows takes a part of a path for another: it drops dots and spaces at the end."""
    return part.endswith((".", " ")) or ":" in part


def _write(opened: ZipFile, info: ZipInfo, folder: Path) -> str:
    """Write an entry below the folder; returns its SHA-256. zipfile compares size and CRC."""
    file = folder / info.filename
    digest = hashlib.sha256()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(info) as source, file.open("xb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise cannot_write(file, error, _MAKE_ROOM) from None
    return digest.hexdigest()
