"""Annotations as read from another format, and their problems with file, place and field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.data.messages import kind_of
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class RawAnnotation:
    """An annotation of another format.

    Attributes:
        place: its place in the file, such as ``line 3``.
        id: the sample's id.
        image: the image's path, as written.
        image_field: the field that holds the path.
        fields: the other known fields of the mapping file, without the mask.
        mask: a run-length list, the path of a black and white image, or an object in COCO's format; None for
            no mask.
    """

    place: str
    id: str
    image: str
    image_field: str
    fields: dict[str, Any]
    mask: Any = None


@dataclass
class RawAnnotations:
    """The annotations of a file, and its problems.

    Attributes:
        file: the file that was read.
        found: its annotations.
        problems: with file, place, field and remedy.
    """

    file: Path
    found: list[RawAnnotation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, place: str, text: str) -> None:
        """Record a problem at a place of the file."""
        self.problems.append(f"{self.file}: {place}: {text}")

    def free_id(self, wanted: str) -> str:
        """An unused id: the wanted one without special characters, or with a number."""
        plain = re.sub(r"[^\w.-]+", "_", wanted).strip("_") or "sample"
        taken = {annotation.id for annotation in self.found}
        numbered = (f"{plain}-{number}" for number in range(2, len(taken) + 3))
        return plain if plain not in taken else next(each for each in numbered if each not in taken)


class Entry:
    """The fields of an entry; problems with them are recorded.

    Args:
        raw: where problems are recorded.
        place: the entry's place in its file.
        values: the fields.
    """

    def __init__(self, raw: RawAnnotations, place: str, values: Mapping[str, Any]):
        self._raw, self.place, self._values = raw, place, values

    def first_of(self, names: Collection[str]) -> str:
        """Of several names of one field, the first that the entry has, or else the first."""
        return next((name for name in names if name in self._values), next(iter(names)))

    def text(self, name: str, needed: bool = True) -> str:
        """A text field; empty, and a problem is recorded, if it is missing or no text."""
        value = self._values.get(name)
        if value is None and not (needed or name in self._values):
            return ""
        if isinstance(value, str):
            self._check(name, value)
            return value
        if name in self._values:
            self._raw.problem(
                self.place, f'field "{name}" must be text, not {kind_of(value)}; put it in quotes'
            )
        else:
            self._raw.problem(self.place, f'field "{name}" is missing; add it')
        return ""

    def texts(self, name: str) -> list[str]:
        """A field of text, or of a list of texts."""
        value = self._values.get(name)
        if not isinstance(value, list):
            return [self.text(name)]
        if not value or not all(isinstance(each, str) for each in value):
            wrong = next((kind_of(each) for each in value if not isinstance(each, str)), "nothing")
            self._raw.problem(
                self.place, f'field "{name}" must be a list of texts, but holds {wrong}; put texts in quotes'
            )
            return []
        for each in value:
            self._check(name, each)
        return value

    def _check(self, name: str, value: str) -> None:
        if _SURROGATE.search(value):
            self._raw.problem(
                self.place, f'field "{name}" holds half a surrogate pair; write the character itself'
            )

    def value(self, name: str) -> Any:
        """A field of any kind; None if it is missing."""
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


def list_entries(raw: RawAnnotations, entries: Any, what: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of a list with their places; a problem is recorded for entries without fields.

    Args:
        raw: where problems are recorded.
        entries: the content of the file.
        what: what the file should hold, for messages.

    Raises:
        PiebenchError: it is no list, or an empty one.
    """
    if not isinstance(entries, list) or not entries:
        held = "an empty list" if entries == [] else kind_of(entries)
        raise PiebenchError(f"--in {raw.file}: must hold {what}, not {held}")
    found: list[tuple[str, Mapping[str, Any]]] = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, dict):
            found.append((f"entry {number}", entry))
        else:
            raw.problem(f"entry {number}", f"must have fields, but is {kind_of(entry)}")
    return found
