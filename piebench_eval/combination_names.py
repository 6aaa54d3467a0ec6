"""How rows are named: an inversion with a method, an editor alone, or a reference."""

from __future__ import annotations

REFERENCES = ("oracle", "source-copy")
"""Rows of a drawn benchmark that nothing edited: the ideal edits and the unedited sources."""


_OF_NAMES = "+/\\"
"""Signs that join names to those of rows, and rows to folders."""


def editor_name_problem(name: str) -> str | None:
    """Why a row of an editor cannot have a name; None if it can.

    >>> editor_name_problem("sdedit")
    >>> editor_name_problem("oracle")
    'is the name of a reference row'
    >>> editor_name_problem("direct+mine")
    "has '+' in its name, which joins names"
    """
    if name in REFERENCES:
        return "is the name of a reference row"
    joins = next((sign for sign in _OF_NAMES if sign in name), None)
    return None if joins is None else f"has {joins!r} in its name, which joins names"


def combination_name(inversion: str, method: str) -> str:
    """The name of a row, as in folder names, tables and messages.

    Args:
        inversion: name of the inversion; empty for an editor and for a reference.
        method: name of the editing method, of the editor or of the reference.

    >>> combination_name("direct", "p2p"), combination_name("", "sdedit")
    ('direct+p2p', 'sdedit')
    """
    return f"{inversion}+{method}" if inversion else method


def parts_of_name(name: str) -> tuple[str, str]:
    """Inversion and method of a row's name; ``combination_name`` reversed.

    >>> parts_of_name("direct+p2p"), parts_of_name("sdedit")
    (('direct', 'p2p'), ('', 'sdedit'))
    """
    inversion, plus, method = name.partition("+")
    return (inversion, method) if plus else ("", name)
