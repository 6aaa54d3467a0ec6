"""Tables of LaTeX files: ``tabular`` and its kin, as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.lint.reading.cells import plain_latex
from piebench_eval.lint.reading.grid import Cell, grid_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.lint.reading.grid import Grid

_BEGIN = re.compile(r"\\begin\{(tabular[*xy]?|longtable|tabu|NiceTabular|tblr|array)\}")
_COMMENT = re.compile(r"(?<!\\)%.*")
_MACRO = re.compile(r"\\(?:re)?newcommand\*?\{?\\([A-Za-z]+)\}?\{([^{}\\#]*)\}")
_SPAN = re.compile(r"\\multicolumn\s*\{\s*(\d+)\s*\}")
_DEPTH = re.compile(r"\\multirow\s*(?:\[[^\]]*\])?\s*\{\s*(-?\d+)\s*\}")
_TWO_ARGUMENTS = ("tabular*", "tabularx", "tabulary")


def latex_grids(text: str) -> list[Grid]:
    """The tables of a LaTeX file.

    Comments are left out, and macros that stand for a word are replaced by it. Cells over several rows or
    columns are repeated in each.

    Args:
        text: the file.
    """
    text = _COMMENT.sub("", text)
    for name, meaning in dict(_MACRO.findall(text)).items():
        text = re.sub(rf"\\{name}(?![A-Za-z])", meaning.replace("\\", r"\\"), text)
    return [grid for body, line in _bodies(text) if (grid := _grid(body, line)).rows]


def _bodies(text: str) -> Iterator[tuple[str, int]]:
    """What stands in each table that has no other one within, and the line it starts in."""
    for found in _BEGIN.finditer(text):
        start = found.end()
        end = text.find(rf"\end{{{found[1]}}}", start)
        if end < 0:
            continue
        for _ in range(2 if found[1] in _TWO_ARGUMENTS else 1):
            start = _behind_argument(text, start)
        if not _BEGIN.search(text, start, end):
            yield text[start:end], text.count("\n", 0, start) + 1


def _behind_argument(text: str, position: int) -> int:
    """Behind optional arguments and one in braces."""
    while match := re.compile(r"\s*\[[^\]]*\]").match(text, position):
        position = match.end()
    opening = text.find("{", position)
    if opening < 0 or text[position:opening].strip():
        return position
    depth = 0
    for place in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0) if text[place - 1] != "\\" else 0
        if depth == 0:
            return place + 1
    return len(text)


def _split(body: str) -> list[list[tuple[str, int]]]:
    """Rows of raw cells with the offsets at which they start; signs in braces do not separate."""
    rows: list[list[tuple[str, int]]] = [[]]
    depth = start = position = 0
    while position < len(body):
        character, pair = body[position], body[position : position + 2]
        if depth == 0 and (pair == "\\\\" or body.startswith(r"\tabularnewline", position)):
            rows[-1].append((body[start:position], start))
            rows.append([])
            behind = re.compile(r"(?:\\\\|\\tabularnewline)\*?(?:\[[^\]]*\])?").match(body, position)
            position = start = behind.end() if behind else position + 2
            continue
        if depth == 0 and character == "&":
            rows[-1].append((body[start:position], start))
            start = position + 1
        depth += {"{": 1, "}": -1}.get(character, 0)
        position += 2 if character == "\\" else 1
    rows[-1].append((body[start:], start))
    return rows


@dataclass
class _Spanning:
    """A cell that goes on in the rows below."""

    text: str
    rows: int


def _grid(body: str, first_line: int) -> Grid:
    rows: list[list[Cell]] = []
    spanning: dict[int, _Spanning] = {}
    for raw in _split(body):
        line = first_line + body.count("\n", 0, _first_sign(body, raw))
        cells: list[Cell] = []
        for text, _ in raw:
            depth = _DEPTH.search(text)
            plain = plain_latex(text)
            place = len(cells)
            if not plain and place in spanning:
                plain = spanning[place].text
            span = _SPAN.search(text)
            cells += [Cell(plain, line)] * (int(span[1]) if span else 1)
            if depth and int(depth[1]) > 1:
                spanning[place] = _Spanning(plain, int(depth[1]))
        if any(cell.text for cell in cells):
            rows.append(cells)
            spanning = _after_row(spanning)
    return grid_of(rows)


def _after_row(spanning: dict[int, _Spanning]) -> dict[int, _Spanning]:
    return {place: _Spanning(one.text, one.rows - 1) for place, one in spanning.items() if one.rows > 1}


def _first_sign(body: str, raw: list[tuple[str, int]]) -> int:
    """Offset of the first sign of a row that is no rule or space."""
    offset = raw[0][1]
    skipped = re.compile(
        r"(?:\s|\\(?:top|mid|bottom)rule|\\c?(?:mid)?rule(?:\([^)]*\))?\{[^}]*\}|\\hline|\\cline\{[^}]*\})*"
    )
    found = skipped.match(body, offset)
    return found.end() if found else offset
