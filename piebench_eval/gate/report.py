"""Reports of a comparison with a baseline: for terminals, GitHub, scripts and JUnit."""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pandas as pd

from piebench_eval.tables.formats.cells import json_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.gate.comparison import ComparedCell

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot represent, and names may hold."""

_INSIDE = {True: "yes", False: "no", None: ""}


def verdict(cells: Sequence[ComparedCell]) -> str:
    """The result in one line."""
    failed = [cell for cell in cells if cell.failed]
    if failed:
        return f"{len(failed)} of {len(cells)} cells are missing or moved by more than they may."
    shares = {
        f"{cell.combination}: {cell.metric}": abs(cell.difference) / cell.tolerance
        for cell in cells
        if cell.tolerance and math.isfinite(cell.difference)
    }
    where = max(shares, key=lambda name: shares[name], default="")
    if not where or not shares[where]:
        return f"{len(cells)} cells hold; none has moved."
    return f"{len(cells)} cells hold; the largest move is {shares[where]:.1%} of what is allowed ({where})."


def moved_table(cells: Sequence[ComparedCell]) -> pd.DataFrame:
    """A row per cell that moved: baseline, now, difference, tolerance, and whether it failed.

    A missing combination has one row. The column ``in 95%`` says whether the baseline lies in the measured
    interval; it does not affect the result.
    """
    rows = [_missing_row(cell) if cell.row_is_missing else _row_of(cell) for cell in cells if cell.moved]
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


def _row_of(cell: ComparedCell) -> dict[str, str]:
    return {
        "combination": cell.combination,
        "metric": cell.metric,
        "baseline": f"{cell.baseline:.3f}",
        "now": "missing" if cell.measured is None else f"{cell.measured:.3f}",
        "difference": "" if cell.measured is None else f"{cell.difference:+.3f}",
        "tolerance": f"{cell.tolerance:g}",
        "in 95%": _INSIDE[cell.baseline_inside],
        "result": "FAILED" if cell.failed else "holds",
    }


def _missing_row(cell: ComparedCell) -> dict[str, str]:
    empty = dict.fromkeys(_row_of(cell), "")
    return {**empty, "combination": cell.combination, "metric": "all", "now": "missing", "result": "FAILED"}


def to_markdown(cells: Sequence[ComparedCell], title: str, remarks: Sequence[str]) -> str:
    """A section for a job's summary page.

    Args:
        cells: from ``compare``.
        title: what was compared with what.
        remarks: lines for the reader.
    """
    passed = not any(cell.failed for cell in cells)
    lines = [f"### {'Passed' if passed else 'FAILED'}: {_escaped(title)}", "", _escaped(verdict(cells)), ""]
    moved = moved_table(cells)
    if not moved.empty:
        lines += [_line(moved.columns), _line(["---"] * len(moved.columns))]
        lines += [_line(map(_escaped, row)) for row in moved.itertuples(index=False)]
        lines.append("")
    return "\n".join([*lines, *(f"- {_escaped(remark)}" for remark in remarks)])


def to_records(cells: Sequence[ComparedCell]) -> list[dict[str, Any]]:
    """Every cell for JSON, see ``json_number``."""
    return [
        {
            "combination": cell.combination,
            "metric": cell.metric,
            "baseline": json_number(cell.baseline),
            "now": json_number(cell.measured),
            "difference": json_number(cell.difference),
            "tolerance": cell.tolerance,
            "low": json_number(cell.low),
            "high": json_number(cell.high),
            "baseline_inside_interval": cell.baseline_inside,
            "failed": cell.failed,
        }
        for cell in cells
    ]


def to_junit(cells: Sequence[ComparedCell], suite: str) -> bytes:
    """Write JUnit XML with a test case per combination and metric.

    Args:
        cells: from ``compare``.
        suite: name of the test suite.
    """
    failed = sum(cell.failed for cell in cells)
    counts = {"tests": str(len(cells)), "failures": str(failed), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", counts)
    inside = ElementTree.SubElement(root, "testsuite", {"name": _writable(suite), **counts})
    for cell in cells:
        names = {"classname": _writable(cell.combination), "name": _writable(cell.metric), "time": "0"}
        case = ElementTree.SubElement(inside, "testcase", names)
        if cell.failed:
            kind = "missing" if cell.measured is None else "moved"
            ElementTree.SubElement(case, "failure", {"type": kind, "message": _writable(cell.line)})
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: object) -> str:
    """Text that Markdown shows as it is, in one line."""
    return " ".join(html.escape(str(text), quote=False).replace("|", "\\|").replace("`", "'").split())


def _writable(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
