"""Values from files, in the words of error messages."""

from __future__ import annotations

from typing import Any


def printable(text: str) -> str:
    """A text for a message: unchanged, or escaped and shortened if it cannot be printed.

    >>> printable("cat.png"), printable("a\\nb")
    ('cat.png', "'a\\\\nb'")
    """
    whole = text if text.isprintable() and text else repr(text)
    return whole if len(whole) <= 300 else f"{whole[:250]}... ({len(text)} characters)"


def kind_of(value: Any) -> str:
    """The kind of a JSON or YAML value, in words.

    >>> kind_of("cat"), kind_of(3), kind_of(None), kind_of([1, 2])
    ('text', 'a number', 'nothing', 'a list')
    """
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", type(None): "nothing"}
    return "a list" if isinstance(value, list) else kinds.get(type(value), "an object with fields")
