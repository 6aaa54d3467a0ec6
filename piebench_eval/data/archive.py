"""Import PIE-Bench from its zip archive, or from the several archives that a drive splits it into."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZipFile

from piebench_eval.data.annotations import RESTORE_IMAGE
from piebench_eval.data.atomic_folder import atomic_folder, require_new
from piebench_eval.data.messages import printable
from piebench_eval.data.pie_bench import MAPPING_FILE
from piebench_eval.data.summary import summarise_new_folder
from piebench_eval.data.zip_members import member_problem, zip_errors
from piebench_eval.errors import DataError, PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from zipfile import ZipInfo

    from piebench_eval.data.summary import TypeSummary

MAX_BYTES = 8 * 2**30
"""Total size of the unpacked files; the official folder has less than a tenth."""

_RETRY = "download it again"
_ALL_PARTS = "if a drive split the folder into several archives, give them all: --zip A --zip B"
_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class _Member:
    """A file in one of the archives."""

    archive: Path
    opened: ZipFile
    info: ZipInfo

    @property
    def path(self) -> PurePosixPath:
        """The path in the archive."""
        return PurePosixPath(self.info.filename)

    @property
    def quoted_name(self) -> str:
        """The name as stored, for messages; zipfile's own ends at a NUL."""
        return f"entry {printable(repr(self.info.orig_filename))}"


def import_archive(
    archives: Path | Sequence[Path], folder: Path, progress: Callable[[int, int], None]
) -> list[TypeSummary]:
    """Unpack the benchmark folder of an archive and check it before it gets its name.

    Args:
        archives: a zip file that contains ``mapping_file.json`` at any depth; the files beside it are
            unpacked, except those that macOS adds. Or several zip files that together contain the folder.
        folder: the new folder.
        progress: called with the files done and their total number.

    Returns:
        A summary of the new folder, by editing type.

    Raises:
        DataError: the archives contain no valid benchmark folder.
        PiebenchError: an archive is damaged, encrypted, too large or has unsafe entries; two archives
            disagree on a file; or the new folder is not empty or cannot be written.
    """
    require_new(folder)
    with ExitStack() as stack:
        opened = {}
        for archive in [archives] if isinstance(archives, Path) else archives:
            with _zip_errors(archive):
                opened[archive] = stack.enter_context(ZipFile(archive))
        partial = stack.enter_context(atomic_folder(folder))
        name, members = _benchmark_members(opened)
        _unpack(members, partial, progress)
        try:
            return summarise_new_folder(partial, name)
        except DataError as error:
            remedy = f"{_ALL_PARTS}; or {_RETRY}"
            raise DataError([text.replace(RESTORE_IMAGE, remedy) for text in error.problems]) from None


def _unpack(members: dict[str, _Member], folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write members of archives, by their paths below a folder."""
    written = 0
    for done, (path, member) in enumerate(members.items(), start=1):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            for chunk in _chunks(member):
                written += len(chunk)
                if written > MAX_BYTES:
                    raise _too_large(member.archive)
                stream.write(chunk)
        progress(done, len(members))


def _chunks(member: _Member) -> Iterator[bytes]:
    """Decompress a member; zipfile reads no more than the listed size, and compares the checksum."""
    count = 0
    with _zip_errors(member.archive), member.opened.open(member.info) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            count += len(chunk)
            yield chunk
        if count != member.info.file_size:
            raise ValueError(f"{member.quoted_name} has {count} bytes, not {member.info.file_size} as listed")


def _zip_errors(archive: Path) -> AbstractContextManager[None]:
    return zip_errors(f"--zip {archive}", "give the archive as downloaded", _RETRY)


def _benchmark_members(archives: dict[Path, ZipFile]) -> tuple[str, dict[str, _Member]]:
    """Find the benchmark folder in archives, after checking that every entry is safe.

    Returns:
        The folder's name in messages, and its files by their paths below it.
    """
    files = [member for archive, opened in archives.items() for member in _safe_files(archive, opened)]
    if sum(member.info.file_size for member in files) > MAX_BYTES:
        raise _too_large(files[0].archive)
    mapping_files = {member.path: member for member in files if member.path.name == MAPPING_FILE}
    if not mapping_files:
        names = ", ".join(map(str, archives))
        raise PiebenchError(
            f"--zip {names}: holds no {MAPPING_FILE}; give the archive of PIE-Bench; {_ALL_PARTS}"
        )
    first, *others = mapping_files.values()
    if others:
        raise PiebenchError(
            f"--zip {first.archive}: holds more than one {MAPPING_FILE} ({first.quoted_name} and "
            f"{others[0].quoted_name}); unpack it by hand and check the folder you "
            "want: piebench data validate FOLDER"
        )
    root = first.path.parent
    members: dict[str, _Member] = {}
    for member in files:
        if member.path.is_relative_to(root):
            same = members.setdefault(str(member.path.relative_to(root)), member)
            if same is not member:
                _require_same(same, member)
    return str(first.archive / root), members


def _safe_files(archive: Path, opened: ZipFile) -> Iterator[_Member]:
    """The files of an archive, except those that macOS adds.

    Raises:
        PiebenchError: an entry must not be unpacked.
    """
    for info in opened.infolist():
        member = _Member(archive, opened, info)
        if problem := member_problem(info):
            raise PiebenchError(f"--zip {archive}: {member.quoted_name} {problem}; {_RETRY}")
        if not info.is_dir() and not _is_junk(member.path):
            yield member


def _is_junk(path: PurePosixPath) -> bool:
    """Whether macOS added a file: a resource fork or a folder view."""
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def _require_same(one: _Member, other: _Member) -> None:
    """Refuse two entries of the same path; two archives may contain the same file."""
    if one.archive == other.archive:
        raise PiebenchError(f"--zip {one.archive}: {other.quoted_name} occurs twice; {_RETRY}")
    if (one.info.CRC, one.info.file_size) != (other.info.CRC, other.info.file_size):
        raise PiebenchError(
            f"--zip {other.archive}: {other.quoted_name} differs from that of {one.archive}; give the parts "
            "of one download"
        )


def _too_large(archive: Path) -> PiebenchError:
    return PiebenchError(f"--zip {archive}: unpacks to more than {MAX_BYTES / 2**30:.0f} GiB; {_RETRY}")
