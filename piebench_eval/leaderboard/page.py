"""The leaderboard as a page that opens from disk, with the report's looks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.report import paths
from piebench_eval.report.data import to_data_script
from piebench_eval.report.folder import report_folder
from piebench_eval.report.page import metric_heading, plotting_library, styles, template, to_script
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from piebench_eval.leaderboard.board import Board
    from piebench_eval.leaderboard.entries import Entry
    from piebench_eval.leaderboard.groups import Group

MADE_BY = "piebench leaderboard"

_PACKAGE = "piebench_eval.leaderboard"
_SHARED_SCRIPTS = ("elements", "scroll", "means", "labels", "plot")
_FAMILY_NAMES = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX",
    "qwen": "Qwen",
    "autoregressive": "autoregressive",
    "other": "other",
}
_DIGITS = 4
_EDIT_METRICS = ("clip_whole", "clip_edit")


@dataclass(frozen=True)
class _Cell:
    """A mean in the table.

    Attributes:
        text: as printed, or rounded.
        mark: its class; empty for none.
        title: what is to be known of it.
        range: lowest and highest of a group, or the interval of a measured mean; empty if neither.
    """

    text: str
    mark: str = ""
    title: str = ""
    range: str = ""


@dataclass(frozen=True)
class _Line:
    """A row of the table, and its number among the rows of the data."""

    number: int
    entry: Entry
    cells: Sequence[_Cell]


def write_board(board: Board, folder: Path) -> Path:
    """Write a leaderboard's page atomically.

    Args:
        board: from ``make_board``.
        folder: where to write; an older leaderboard there is replaced.

    Returns:
        The file to open.

    Raises:
        PiebenchError: the folder holds something else, or cannot be written.
    """
    script = (files(_PACKAGE) / "assets" / "leaderboard.js").read_text(encoding="utf-8")
    contents = {
        paths.PAGE: to_board_page(board).encode("utf-8", errors="replace"),
        paths.DATA: to_data_script("BOARD", board_data(board)).encode("ascii"),
        paths.SCRIPT: to_script(_SHARED_SCRIPTS, script).encode("utf-8"),
        **plotting_library(),
    }
    with report_folder(folder, MADE_BY) as partial:
        for name, data in contents.items():
            (partial / name).write_bytes(data)
    return folder / paths.PAGE


def to_board_page(board: Board) -> str:
    """The page's HTML, readable without JavaScript."""
    numbers = {id(entry): number for number, entry in enumerate(board.entries)}
    groups = [
        (group, _spread_cells(group), [_line(numbers[id(entry)], entry) for entry in group.entries])
        for group in board.groups
    ]
    page: str = template(_PACKAGE, "leaderboard.html.j2").render(
        version=__version__,
        remarks=board.remarks,
        metrics=[metric_heading(metric) for metric in TABLE_METRICS],
        groups=groups,
        rows=len(board.entries),
        sources=len({entry.source for entry in board.entries if not entry.is_measured}),
        styles=styles(),
        more_styles=Markup((files(_PACKAGE) / "assets" / "leaderboard.css").read_text(encoding="utf-8")),
        paths=paths,
    )
    return page


def board_data(board: Board) -> dict[str, Any]:
    """What the page's script shows: ``metrics``, ``families`` and ``rows``, in the order of the table."""
    present = {entry.family for entry in board.entries}
    return {
        "metrics": [
            {
                "key": metric.key,
                "title": metric.title.replace("\n", " "),
                "higherIsBetter": metric.better == "higher",
                "isOfEdit": metric.key in _EDIT_METRICS,
            }
            for metric in TABLE_METRICS
        ],
        "families": [[family, name] for family, name in _FAMILY_NAMES.items() if family in present],
        "rows": [
            _row(entry, number, any(entry is one for one in group.originals))
            for number, group in enumerate(board.groups)
            for entry in group.entries
        ],
    }


def _row(entry: Entry, group: int, is_original: bool) -> dict[str, Any]:
    published = entry.published
    return {
        "group": group,
        "method": entry.method,
        "model": entry.model,
        "family": entry.family,
        "steps": entry.steps,
        "means": [
            round(entry.numbers[key], _DIGITS) if math.isfinite(entry.numbers.get(key, math.nan)) else None
            for key in METRIC_KEYS
        ],
        "intervals": [[round(end, _DIGITS) for end in entry.intervals.get(key, ())] for key in METRIC_KEYS],
        "faults": [key in entry.faults for key in METRIC_KEYS],
        "isMeasured": entry.is_measured,
        "isOriginal": is_original,
        "source": entry.where if published is None else entry.source,
        "link": published.link if published else None,
        "readFrom": published.read_from if published else "",
        "images": entry.images,
        "masks": entry.masks,
        "promptedBy": entry.prompted_by,
        "notes": _notes(entry),
    }


def _notes(entry: Entry) -> str:
    return "; ".join(filter(None, [entry.marks, entry.published.note if entry.published else ""]))


def _line(number: int, entry: Entry) -> _Line:
    return _Line(number, entry, [_cell(entry, key) for key in METRIC_KEYS])


def _cell(entry: Entry, key: str) -> _Cell:
    if key not in entry.numbers:
        return _Cell("–")
    if entry.published is None:
        low, high = entry.intervals.get(key, (None, None))
        interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
        return _Cell(f"{entry.numbers[key]:.2f}", title="95% interval" if interval else "", range=interval)
    text = str(entry.published.printed[key])
    if key in entry.faults:
        return _Cell(text, "faulty", entry.faults[key])
    if key in entry.inside:
        return _Cell(text, "inside", f"inside the interval of {', '.join(entry.inside[key])}")
    return _Cell(text)


def _spread_cells(group: Group) -> list[_Cell]:
    """Median, lowest and highest of each metric; empty where there is one source."""
    spread = group.spread
    return [
        _Cell(
            f"{spread[key].median:.2f}",
            title=f"median of {spread[key].sources} sources, lowest and highest",
            range=f"{spread[key].low:.2f} to {spread[key].high:.2f}",
        )
        if key in spread
        else _Cell("–")
        for key in (METRIC_KEYS if spread else ())
    ]
