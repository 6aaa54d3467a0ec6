"""Which names are safe, for an id becomes the name of a file in a flat folder; and values in messages."""

from __future__ import annotations

from typing import Any

MAX_BYTES = 200
"""Of an id in UTF-8; file systems allow 255 for a name, suffixes included."""


def id_problem(sample_id: str) -> str | None:
    """Say why an id cannot be a file's name, or None if it can.

    >>> id_problem("000000000001")
    >>> id_problem("../x")
    "holds '/'; ids become names of files"
    """
    if not sample_id.strip() or sample_id in (".", ".."):
        return "is no name; ids become names of files"
    if not sample_id.isprintable():
        return "holds a character that cannot be printed; ids become names of files"
    for sign in "/\\":
        if sign in sample_id:
            return f"holds {sign!r}; ids become names of files"
    if len(sample_id.encode()) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes; ids become names of files"
    return None


def shown(text: str) -> str:
    """A text for a message: as it is, or escaped and cut where it could not be printed.

    >>> shown("cat.png"), shown("a\\nb")
    ('cat.png', "'a\\\\nb'")
    """
    whole = text if text.isprintable() and text else repr(text)
    return whole if len(whole) <= 300 else f"{whole[:250]}... ({len(text)} characters)"


def kind_of(value: Any) -> str:
    """What kind of value a file holds, in words.

    >>> kind_of("cat"), kind_of(3), kind_of(None), kind_of([1, 2])
    ('text', 'a number', 'nothing', 'a list')
    """
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "nothing"}
    return "a list" if isinstance(value, list) else kinds.get(type(value), "an object with fields of its own")
