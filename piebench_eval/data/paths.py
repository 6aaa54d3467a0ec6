"""Where a benchmark folder's files are: names in another letter case, and links that may be followed."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from piebench_eval.data.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PlaceError(ValueError):
    """Why a path leads to no file of the benchmark, and the remedy; whoever knows its field names it."""


def find_inside(path: str, bases: Iterable[Path], roots: Iterable[Path], others: OtherCase) -> Path | None:
    """Find a file by its path below one of several folders.

    Args:
        path: the path; letters may be in another case, if no second file has them so.
        bases: the folders that it may start from, the first one first.
        roots: the folders that a link may lead into.
        others: finds names in another case.

    Returns:
        The file; None if there is none.

    Raises:
        PlaceError: the path, or a link, leaves the folders; or two files differ in letter case only.
    """
    name = shown(repr(path))
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise PlaceError(f"{name} must be a path below the folder, without '..'")
    try:
        for base in bases:
            if (base / path).is_file():
                return _checked(name, base / path, roots)
        for base in bases:
            if file := _in_other_case(name, others.files(base, path)):
                return _checked(name, file, roots)
            if (base / path).is_symlink():
                _checked(name, base / path, roots)
                target = (base / path).readlink()
                raise PlaceError(f"{name} is a link to {target}, which is not there; fetch the file itself")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links go round in a circle"
        raise PlaceError(f"{name} cannot be followed ({reason}); give another path") from None
    return None


def link_roots(folder: Path) -> Iterator[Path]:
    """The folders that links of a benchmark folder may lead into: itself, and the cache that it is from.

    A snapshot of the Hugging Face Hub has its files in ``blobs`` beside ``snapshots``, another folder of
    links in ``blobs`` beside itself, and git-annex in the repository's ``.git/annex/objects``.
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


class OtherCase:
    """Finds files whose names differ in the case of letters; every folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def files(self, folder: Path, path: str) -> list[Path]:
        """The files below a folder whose paths differ from one in the case of letters at most.

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


def _in_other_case(name: str, found: list[Path]) -> Path | None:
    if len(found) > 1:
        both = " and ".join(shown(str(file)) for file in found[:2])
        raise PlaceError(f"{name} may be {both}, which differ in letter case only; write the name as it is")
    return found[0] if found else None


def _checked(name: str, file: Path, roots: Iterable[Path]) -> Path:
    resolved = file.resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        raise PlaceError(
            f"{name} is a link that leaves the folder, to {shown(str(resolved))}; put the file itself there"
        )
    return file
