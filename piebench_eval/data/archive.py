"""The official archive, as downloaded, whole or in parts: its benchmark folder, without trusting anything."""

from __future__ import annotations

import re
import stat
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZipFile

from piebench_eval.data.annotations import RESTORE_PICTURE
from piebench_eval.data.atomic_folder import require_new, whole_folder
from piebench_eval.data.names import shown
from piebench_eval.data.pie_bench import MAPPING_FILE, load_pie_bench
from piebench_eval.data.summary import summarise
from piebench_eval.errors import DataError, PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from zipfile import ZipInfo

    from piebench_eval.data.summary import TypeSummary

MAX_BYTES = 8 * 2**30
"""Of all files together, unpacked; the official folder has less than a tenth."""

_AGAIN = "download it again"
_ALL_PARTS = "if a drive split the folder into several archives, give them all: --zip A --zip B"
_DRIVE = re.compile("[A-Za-z]:")
_CHUNK = 2**20
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class _Part:
    """An open archive, which may hold a part of the benchmark folder only."""

    archive: Path
    unpacked: ZipFile


def import_archive(
    archives: Path | Sequence[Path], folder: Path, progress: Callable[[int, int], None]
) -> list[TypeSummary]:
    """Unpack the benchmark folder of an archive, check it, and give it its name only then.

    Args:
        archives: a zip file with ``mapping_file.json`` in it, at any depth; what lies beside that file is
            unpacked, but for what macOS adds. Or several zip files into which a drive split that folder.
        folder: the new folder.
        progress: is told how many files of how many are done.

    Returns:
        What the new folder holds, by editing type.

    Raises:
        DataError: what the archives hold is not a sound benchmark folder.
        PiebenchError: an archive is damaged, encrypted, too large, or has entries that lead elsewhere; two
            archives differ in a file; or the new folder holds something already, or cannot be written.
    """
    require_new(folder)
    with ExitStack() as opened:
        parts = []
        for archive in [archives] if isinstance(archives, Path) else archives:
            with _damage_told(archive):
                parts.append(_Part(archive, opened.enter_context(ZipFile(archive))))
        partial = opened.enter_context(whole_folder(folder))
        inside, members = _benchmark_members(parts)
        _unpack(members, partial, progress)
        try:
            return summarise(load_pie_bench(partial, check_masks=False))
        except DataError as error:
            renamed = (problem.replace(str(partial), inside) for problem in error.problems)
            problems = [problem.replace(RESTORE_PICTURE, f"{_ALL_PARTS}; or {_AGAIN}") for problem in renamed]
            raise DataError(problems) from None


def _unpack(
    members: dict[str, tuple[_Part, ZipInfo]], folder: Path, progress: Callable[[int, int], None]
) -> None:
    """Write files of archives, by their paths below a folder."""
    written = 0
    for done, (path, (part, member)) in enumerate(members.items(), start=1):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            for chunk in _chunks(part.archive, part.unpacked, member):
                written += len(chunk)
                if written > MAX_BYTES:
                    raise _too_large(part.archive)
                stream.write(chunk)
        progress(done, len(members))


@contextmanager
def _damage_told(archive: Path) -> Iterator[None]:
    """Say of which archive, whatever its reader raises."""
    try:
        yield
    except PiebenchError:
        raise
    except FileNotFoundError:
        raise PiebenchError(
            f"--zip {archive}: there is no such file; give the archive as downloaded"
        ) from None
    except Exception as error:  # zipfile and its decompressors have a dozen errors for damage
        reason = shown(str(error)) if str(error) else type(error).__name__
        raise PiebenchError(f"--zip {archive}: is damaged or no zip file ({reason}); {_AGAIN}") from None


def _benchmark_members(parts: Sequence[_Part]) -> tuple[str, dict[str, tuple[_Part, ZipInfo]]]:
    """Find the benchmark folder inside archives, once every entry is known to be harmless.

    Returns:
        What to call the folder in messages, and its files by their paths below it.
    """
    files = [found for part in parts for found in _harmless_files(part)]
    if sum(member.file_size for _, _, member in files) > MAX_BYTES:
        raise _too_large(parts[0].archive)
    roots = {path.parent: part for path, part, _ in files if path.name == MAPPING_FILE}
    if not roots:
        names = ", ".join(str(part.archive) for part in parts)
        raise PiebenchError(
            f"--zip {names}: holds no {MAPPING_FILE}; give the archive of PIE-Bench; {_ALL_PARTS}"
        )
    if len(roots) > 1:
        found = " and ".join(shown(repr(str(root / MAPPING_FILE))) for root in list(roots)[:2])
        raise PiebenchError(
            f"--zip {next(iter(roots.values())).archive}: holds more than one {MAPPING_FILE} ({found}); "
            "unpack it by hand and check the folder you want: piebench data validate FOLDER"
        )
    ((root, main),) = roots.items()
    inside: dict[str, tuple[_Part, ZipInfo]] = {}
    for path, part, member in files:
        if path.is_relative_to(root):
            below = str(path.relative_to(root))
            if below in inside and (problem := _double_problem(path, inside[below], (part, member))):
                raise PiebenchError(problem)
            inside.setdefault(below, (part, member))
    return str(main.archive / root), inside


def _harmless_files(part: _Part) -> Iterator[tuple[PurePosixPath, _Part, ZipInfo]]:
    """The files of an archive, but for what macOS adds.

    Raises:
        PiebenchError: it has an entry that must not be unpacked.
    """
    for member in part.unpacked.infolist():
        if problem := _member_problem(member):
            raise PiebenchError(
                f"--zip {part.archive}: entry {shown(repr(member.orig_filename))} {problem}; {_AGAIN}"
            )
        path = PurePosixPath(member.filename)
        if not member.is_dir() and not _is_junk(path):
            yield path, part, member


def _double_problem(
    path: PurePosixPath, one: tuple[_Part, ZipInfo], other: tuple[_Part, ZipInfo]
) -> str | None:
    """Say that two entries want to be one file; two archives may hold the same file."""
    (part, member), (other_part, other_member) = one, other
    entry = f"entry {shown(repr(str(path)))}"
    if part is other_part:
        return f"--zip {part.archive}: {entry} occurs twice; {_AGAIN}"
    if (member.CRC, member.file_size) != (other_member.CRC, other_member.file_size):
        return (
            f"--zip {other_part.archive}: {entry} differs from that of {part.archive}; give the parts of one "
            "download"
        )
    return None


def _member_problem(member: ZipInfo) -> str | None:
    """Say why an entry must not be unpacked, or None if it is a plain file or folder inside the archive."""
    # The name as stored: zipfile cuts it at NUL.
    name = member.orig_filename
    if name.startswith("/") or _DRIVE.match(name) or "\\" in name or "\0" in name:
        return "has no plain relative path"
    if ".." in PurePosixPath(name).parts:
        return "leads out of the folder"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted, which PIE-Bench's archive is not"
    return None


def _is_junk(path: PurePosixPath) -> bool:
    """What macOS adds to an archive: resource forks and folder views."""
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def _chunks(archive: Path, unpacked: ZipFile, member: ZipInfo) -> Iterator[bytes]:
    """Decompress a file; its bytes are counted, for the size that the archive gives may be a lie."""
    count = 0
    with _damage_told(archive), unpacked.open(member) as stream:
        while chunk := stream.read(_CHUNK):
            count += len(chunk)
            yield chunk
        if count != member.file_size:
            raise PiebenchError(
                f"--zip {archive}: entry {shown(repr(member.filename))} has {count} bytes, not "
                f"{member.file_size} as listed; {_AGAIN}"
            )


def _too_large(archive: Path) -> PiebenchError:
    return PiebenchError(f"--zip {archive}: unpacks to more than {MAX_BYTES / 2**30:.0f} GiB; {_AGAIN}")
