"""The official archive, as downloaded: its benchmark folder, taken out without trusting anything in it."""

from __future__ import annotations

import re
import stat
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from zipfile import ZipFile

from piebench_eval.bench.names import shown
from piebench_eval.bench.pie_bench import MAPPING_FILE, load_pie_bench
from piebench_eval.bench.staging import require_new, whole_folder
from piebench_eval.bench.summary import summarise
from piebench_eval.errors import DataError, PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from zipfile import ZipInfo

    from piebench_eval.bench.summary import TypeSummary

MAX_BYTES = 8 * 2**30
"""Of all files together, unpacked; the official folder has less than a tenth."""

_AGAIN = "download it again"
_DRIVE = re.compile("[A-Za-z]:")
_CHUNK = 2**20
_ENCRYPTED = 0x1


def import_archive(archive: Path, folder: Path, progress: Callable[[int, int], None]) -> list[TypeSummary]:
    """Unpack an archive's benchmark folder, check it, and give it its name only then.

    Args:
        archive: a zip file with ``mapping_file.json`` in it, at any depth; what lies beside that file is
            unpacked, but for what macOS adds.
        folder: the new folder.
        progress: is told how many files of how many are done.

    Returns:
        What the new folder holds, by editing type.

    Raises:
        DataError: what the archive holds is not a sound benchmark folder.
        PiebenchError: the archive is damaged, encrypted, too large, or has entries that lead elsewhere; or
            the new folder holds something already, or cannot be written.
    """
    require_new(folder)
    with _damage_told(archive):
        unpacked = ZipFile(archive)
    with unpacked, whole_folder(folder) as partial:
        root, members = _benchmark_members(archive, unpacked.infolist())
        written = 0
        for done, (path, member) in enumerate(members.items(), start=1):
            file = partial / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                for chunk in _chunks(archive, unpacked, member):
                    written += len(chunk)
                    if written > MAX_BYTES:
                        raise _too_large(archive)
                    stream.write(chunk)
            progress(done, len(members))
        try:
            return summarise(load_pie_bench(partial, check_masks=False))
        except DataError as error:
            inside = str(archive / root)
            raise DataError([problem.replace(str(partial), inside) for problem in error.problems]) from None


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


def _benchmark_members(archive: Path, members: list[ZipInfo]) -> tuple[PurePosixPath, dict[str, ZipInfo]]:
    """Find the benchmark folder inside an archive, once every entry is known to be harmless.

    Returns:
        The folder's path in the archive, and its files by their paths below it.
    """
    for member in members:
        if problem := _member_problem(member):
            raise PiebenchError(
                f"--zip {archive}: entry {shown(repr(member.orig_filename))} {problem}; {_AGAIN}"
            )
    files = [
        (PurePosixPath(member.filename), member)
        for member in members
        if not member.is_dir() and not _is_junk(PurePosixPath(member.filename))
    ]
    if sum(member.file_size for _, member in files) > MAX_BYTES:
        raise _too_large(archive)
    roots = [path.parent for path, _ in files if path.name == MAPPING_FILE]
    if not roots:
        raise PiebenchError(f"--zip {archive}: holds no {MAPPING_FILE}; give the archive of PIE-Bench")
    if len(roots) > 1:
        found = " and ".join(shown(repr(str(root / MAPPING_FILE))) for root in roots[:2])
        raise PiebenchError(
            f"--zip {archive}: holds more than one {MAPPING_FILE} ({found}); unpack it by hand and check the "
            "folder you want: piebench data validate FOLDER"
        )
    inside: dict[str, ZipInfo] = {}
    for path, member in files:
        if path.is_relative_to(roots[0]):
            below = str(path.relative_to(roots[0]))
            if below in inside:
                raise PiebenchError(f"--zip {archive}: entry {shown(repr(str(path)))} occurs twice; {_AGAIN}")
            inside[below] = member
    return roots[0], inside


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
