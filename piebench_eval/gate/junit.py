"""Compared cells as JUnit XML, which test dashboards read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.gate.comparison import Cell

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no way to write, and names may hold."""


def to_junit(cells: Sequence[Cell], suite: str) -> bytes:
    """A test case per combination and metric; those that failed say why.

    Args:
        cells: from ``compare``.
        suite: what to call the whole.
    """
    failed = sum(cell.failed for cell in cells)
    counts = {"tests": str(len(cells)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", counts)
    inside = ElementTree.SubElement(root, "testsuite", {"name": _writable(suite), **counts})
    for cell in cells:
        names = {"classname": _writable(cell.combination), "name": _writable(cell.metric), "time": "0"}
        case = ElementTree.SubElement(inside, "testcase", names)
        if cell.failed:
            kind = "missing" if cell.now is None else "moved"
            ElementTree.SubElement(case, "failure", {"type": kind, "message": _writable(cell.line)})
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _writable(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
