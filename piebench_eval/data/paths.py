"""Find the files of a benchmark folder: names in another letter case, and which links may be followed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.data.messages import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PathError(ValueError):
    """Why a path leads to no file of the benchmark, and the remedy; callers add the field's name."""


def find_file(
    path: str, bases: Iterable[Path], roots: Iterable[Path], listing: CaseInsensitiveListing
) -> Path | None:
    """Find a file by its path below one of several folders.

    Args:
        path: relative path; letter case is ignored unless two files differ in it only.
        bases: the folders to search, in order.
        roots: the folders that links may lead into.
        listing: finds names in another case.

    Returns:
        The file; None if there is none.

    Raises:
        PathError: the path or a link leaves the folders, or two files differ in letter case only.
    """
    name = printable(repr(path))
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise PathError(f"{name} must be a path below the folder, without '..'")
    try:
        for base in bases:
            if (base / path).is_file():
                return _require_inside(name, base / path, roots)
        for base in bases:
            if file := _only_file(name, listing.files(base, path)):
                return _require_inside(name, file, roots)
            if (base / path).is_symlink():
                _require_inside(name, base / path, roots)
                target = (base / path).readlink()
                raise PathError(f"{name} is a link to {target}, which is not there; fetch the file itself")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go round in a circle"
        raise PathError(f"{name} cannot be followed ({reason}); give another path") from None
    return None


def allowed_roots(folder: Path) -> Iterator[Path]:
    """The folders that links in a benchmark folder may lead into: itself, and the cache it comes from.

    A snapshot of the Hugging Face Hub has its files in ``blobs`` beside ``snapshots``, other caches in
    ``blobs`` beside the folder, and git-annex in the repository's ``.git/annex/objects``.
    """
    here = folder.resolve()
    yield here
    yield here.parent / "blobs"
    for above in here.parents:
        if above.name == "snapshots":
            yield above.parent / "blobs"
    for above in (here, *here.parents):
        if (above / ".git").exists():
            yield (above / ".git" / "annex" / "objects").resolve()
            return


class CaseInsensitiveListing:
    """Finds files whatever the letter case of their names; lists each folder once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def files(self, folder: Path, path: str) -> list[Path]:
        """The files below a folder whose paths equal ``path`` up to letter case.

        Raises:
            OSError: a folder cannot be listed.
        """
        found = [folder]
        for part in PurePosixPath(path).parts:
            found = [entry for each in found for entry in self._entries(each).get(part.casefold(), [])]
        return [file for file in found if file.is_file()]

    def _entries(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            self._listed[folder] = {}
            for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
                self._listed[folder].setdefault(entry.name.casefold(), []).append(entry)
        return self._listed[folder]


def _only_file(name: str, found: list[Path]) -> Path | None:
    if len(found) > 1:
        both = " and ".join(printable(str(file)) for file in found[:2])
        raise PathError(f"{name} may be {both}, which differ in letter case only; write the name as it is")
    return found[0] if found else None


def _require_inside(name: str, file: Path, roots: Iterable[Path]) -> Path:
    resolved = file.resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        target = printable(str(resolved))
        raise PathError(f"{name} is a link that leaves the folder, to {target}; put the file itself there")
    return file
