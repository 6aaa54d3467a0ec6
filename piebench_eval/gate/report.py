"""What a comparison with a baseline found, for terminals, GitHub and scripts."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.tables.formats.json_numbers import json_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.gate.comparison import Cell

_INSIDE = {True: "yes", False: "no", None: ""}


def verdict(cells: Sequence[Cell]) -> str:
    """The result in a line: how many cells were compared, and how many failed."""
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


def moved_table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row per cell that moved: baseline, now, difference, tolerance, and whether it failed.

    A combination that is missing altogether has one row. The column ``in 95%`` says whether the baseline
    lies inside today's own interval; it decides nothing.
    """
    rows = [_missing_row(cell) if cell.row_is_missing else _row_of(cell) for cell in cells if cell.moved]
    return pd.DataFrame(rows).drop_duplicates(ignore_index=True)


def _row_of(cell: Cell) -> dict[str, str]:
    return {
        "combination": cell.combination,
        "metric": cell.metric,
        "baseline": f"{cell.then:.3f}",
        "now": "missing" if cell.now is None else f"{cell.now:.3f}",
        "difference": "" if cell.now is None else f"{cell.difference:+.3f}",
        "tolerance": f"{cell.tolerance:g}",
        "in 95%": _INSIDE[cell.baseline_inside],
        "result": "FAILED" if cell.failed else "holds",
    }


def _missing_row(cell: Cell) -> dict[str, str]:
    empty = dict.fromkeys(_row_of(cell), "")
    return {**empty, "combination": cell.combination, "metric": "all", "now": "missing", "result": "FAILED"}


def to_markdown(cells: Sequence[Cell], title: str, remarks: Sequence[str]) -> str:
    """A section for a job's summary page.

    Args:
        cells: from ``compare``.
        title: what was held against what.
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


def to_records(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every cell for JSON, see ``json_number``."""
    return [
        {
            "combination": cell.combination,
            "metric": cell.metric,
            "baseline": json_number(cell.then),
            "now": json_number(cell.now),
            "difference": json_number(cell.difference),
            "tolerance": cell.tolerance,
            "low": json_number(cell.low),
            "high": json_number(cell.high),
            "baseline_inside_interval": cell.baseline_inside,
            "failed": cell.failed,
        }
        for cell in cells
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: object) -> str:
    """Text that Markdown shows as it is, in one line."""
    return " ".join(html.escape(str(text), quote=False).replace("|", "\\|").replace("`", "'").split())
