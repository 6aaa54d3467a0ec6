"""Read the mapping file, with the duplicate keys and invalid numbers that Python's reader lets pass."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from piebench_eval.data.messages import kind_of, printable
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class InvalidNumber:
    """A number that JSON does not allow (NaN), or one of thousands of digits."""

    def __init__(self, text: str):
        self.text = printable(text)

    def __str__(self) -> str:
        return self.text


class JsonObject(dict[str, Any]):
    """A JSON object that records its duplicate keys."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.duplicates = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def read_mapping_file(file: Path) -> JsonObject:
    """Read the object that maps ids to annotations, with or without a byte order mark.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read, is not JSON, or is not an object with annotations.
    """
    annotations = read_json(file)
    if not isinstance(annotations, JsonObject):
        raise DataError(
            [
                f"{file} must hold one object that maps ids to annotations, not {kind_of(annotations)}; "
                "restore the file, or make a benchmark of another format: piebench data convert --help"
            ]
        )
    if not annotations:
        raise DataError([f"{file} holds no annotation; restore the file"])
    return annotations


def read_json(file: Path) -> Any:
    """Read a JSON file: objects as JsonObject, invalid numbers as InvalidNumber.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(
            file.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=JsonObject,
            parse_constant=InvalidNumber,
            parse_int=_integer,
        )
    except FileNotFoundError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError([f"{file} is not valid JSON: {error.msg} at {where}; mend it there"]) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DataError([f"{file} cannot be read ({error}); restore the file"]) from None


def find_invalid_number(value: Any) -> InvalidNumber | None:
    """Find an InvalidNumber at any depth; without recursion, since a file may nest deeply."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, InvalidNumber):
            return value
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list) and not all(type(entry) is int for entry in value):
            stack += value
    return None


def _integer(text: str) -> int | InvalidNumber:
    try:
        return int(text)
    except ValueError:  # Python reads no more than 4300 digits
        return InvalidNumber(text)
