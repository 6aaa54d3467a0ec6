"""How rows are named: an inversion with a method, an editor alone, or a reference."""

from __future__ import annotations

REFERENCES = ("oracle", "source-copy")
"""Rows of a drawn benchmark that nothing edited: the ideal edits and the unedited sources."""


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
