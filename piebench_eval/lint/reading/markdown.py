"""Tables of Markdown files, as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from piebench_eval.lint.reading.cells import plain_markdown
from piebench_eval.lint.reading.grid import Cell, grid_of
from piebench_eval.lint.reading.html_tables import html_grids

if TYPE_CHECKING:
    from piebench_eval.lint.reading.grid import Grid

_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")
_BAR = re.compile(r"(?<!\\)\|")


def markdown_grids(text: str) -> list[Grid]:
    """The tables of a Markdown file: lines with bars around a line of dashes, and after them those in HTML.

    Args:
        text: the file.
    """
    lines = text.splitlines()
    grids = []
    for number, line in enumerate(lines):
        if number and "|" in line and _RULE.fullmatch(line) and "|" in lines[number - 1]:
            end = next((at for at in range(number + 1, len(lines)) if "|" not in lines[at]), len(lines))
            places = [number - 1, *range(number + 1, end)]
            grids.append(grid_of([_cells(lines[place], place + 1) for place in places], headings=1))
    return grids + html_grids(text)


def _cells(line: str, number: int) -> list[Cell]:
    parts = _BAR.split(line.strip())
    parts = parts[1:] if not parts[0].strip() else parts
    parts = parts[:-1] if parts and not parts[-1].strip() else parts
    return [Cell(plain_markdown(part.replace("\\|", "|")), number) for part in parts]
