"""What a format's reader finds: drafts of annotations, and their problems with file, place and field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.data.names import kind_of
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Draft:
    """An annotation of another format.

    Attributes:
        place: where it stands in its file, as in ``line 3``.
        id: what it is to be called.
        picture: the picture's path, as it is written.
        picture_field: the field that it is written in.
        fields: the other fields of the mapping file, but for the mask; what is not known is left out.
        mask: runs as in the mapping file, the path of a black and white picture, or an object with COCO's
            runs; None for no mask.
    """

    place: str
    id: str
    picture: str
    picture_field: str
    fields: dict[str, Any]
    mask: Any = None


@dataclass
class Drafts:
    """The drafts of a file.

    Attributes:
        file: the file.
        found: its drafts.
        problems: what is wrong with it, with file, place, field and remedy.
    """

    file: Path
    found: list[Draft] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, place: str, text: str) -> None:
        """Note what is wrong in a place of the file."""
        self.problems.append(f"{self.file}: {place}: {text}")

    def free_id(self, wanted: str) -> str:
        """An id that no draft has: the wanted one, without signs that file names lack, or with a number."""
        plain = re.sub(r"[^\w.-]+", "_", wanted).strip("_") or "sample"
        taken = {draft.id for draft in self.found}
        numbered = (f"{plain}-{number}" for number in range(2, len(taken) + 3))
        return plain if plain not in taken else next(each for each in numbered if each not in taken)


class Row:
    """The fields of an entry; whatever is wrong with one is noted.

    Args:
        drafts: where it is noted.
        place: where the entry stands in its file.
        values: the fields.
    """

    def __init__(self, drafts: Drafts, place: str, values: Mapping[str, Any]):
        self._drafts, self.place, self._values = drafts, place, values

    def first_of(self, names: Collection[str]) -> str:
        """The first of some names of one field that the entry has; the first name if it has none."""
        return next((name for name in names if name in self._values), next(iter(names)))

    def text(self, name: str, needed: bool = True) -> str:
        """A field that holds text; what is not there, or is something else, is noted and empty."""
        value = self._values.get(name)
        if value is None and not (needed or name in self._values):
            return ""
        if isinstance(value, str):
            self._check(name, value)
            return value
        if name in self._values:
            self._drafts.problem(
                self.place, f'field "{name}" must be text, not {kind_of(value)}; put it in quotes'
            )
        else:
            self._drafts.problem(self.place, f'field "{name}" is missing; add it')
        return ""

    def texts(self, name: str) -> list[str]:
        """A field that holds text, or a list of texts."""
        value = self._values.get(name)
        if not isinstance(value, list):
            return [self.text(name)]
        if not value or not all(isinstance(each, str) for each in value):
            wrong = next((kind_of(each) for each in value if not isinstance(each, str)), "nothing")
            self._drafts.problem(
                self.place, f'field "{name}" must be a list of texts, but holds {wrong}; put texts in quotes'
            )
            return []
        for each in value:
            self._check(name, each)
        return value

    def _check(self, name: str, value: str) -> None:
        if _SURROGATE.search(value):
            self._drafts.problem(
                self.place, f'field "{name}" holds half a surrogate pair; write the character itself'
            )

    def value(self, name: str) -> Any:
        """A field of any kind; None if it is not there."""
        return self._values.get(name)


def read_text(file: Path) -> str:
    """Read a file as UTF-8, with or without a byte order mark.

    Raises:
        PiebenchError: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise PiebenchError(f"--in {file}: is not in UTF-8; save it in that encoding") from None
    except OSError as error:
        raise PiebenchError(f"--in {file}: cannot be read ({error.strerror}); give another file") from None


def objects(drafts: Drafts, entries: Any, what: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of a list, with their places; those that have no fields are noted.

    Args:
        drafts: where it is noted.
        entries: the file's content.
        what: what it should be, for messages.

    Raises:
        PiebenchError: it is no list, or an empty one.
    """
    if not isinstance(entries, list) or not entries:
        held = "an empty list" if entries == [] else kind_of(entries)
        raise PiebenchError(f"--in {drafts.file}: must hold {what}, not {held}")
    found: list[tuple[str, Mapping[str, Any]]] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict):
            found.append((f"entry {number}", entry))
        else:
            drafts.problem(f"entry {number}", f"must have fields, but is {kind_of(entry)}")
    return found
