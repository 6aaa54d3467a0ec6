"""Reading the mapping file: what JSON forbids and Python's reader lets pass is kept, to be told by name."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from piebench_eval.data.names import kind_of, shown
from piebench_eval.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


class NoNumber:
    """Stands for a number that JSON does not know (NaN) or that nobody can mean (thousands of digits)."""

    def __init__(self, text: str):
        self.text = shown(text)

    def __str__(self) -> str:
        return self.text


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which of its keys were written more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.duplicates = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]


def read_mapping_file(file: Path) -> JsonObject:
    """Read the object that maps ids to annotations; a byte order mark before it is no harm.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read, is not JSON, or does not hold one object with something in it.
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
    """Read a JSON file: objects as JsonObject, and numbers that are none as NoNumber.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(
            file.read_bytes().decode("utf-8-sig"),
            object_pairs_hook=JsonObject,
            parse_constant=NoNumber,
            parse_int=_integer,
        )
    except FileNotFoundError:
        raise
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError([f"{file} is not valid JSON: {error.msg} at {where}; mend it there"]) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DataError([f"{file} cannot be read ({error}); restore the file"]) from None


def first_no_number(value: Any) -> NoNumber | None:
    """Find a NoNumber at any depth; without recursion, for the depth is the file's choice."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, NoNumber):
            return value
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list) and not all(type(entry) is int for entry in value):
            waiting += value
    return None


def _integer(text: str) -> int | NoNumber:
    try:
        return int(text)
    except ValueError:  # Python reads no more than 4300 digits
        return NoNumber(text)
