"""Rows of a table as they stand in the file, and as means in Table 1's units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.reading.cells import number_in
from piebench_eval.lint.reading.headings import Role
from piebench_eval.lint.reading.units import power_of_column
from piebench_eval.lint.rules.pictures import type_of
from piebench_eval.lint.table import Column, Row, printed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.lint.reading.grid import Cell
    from piebench_eval.lint.reading.headings import Heading

NAMES = (Role.INVERSION, Role.METHOD)
"""Columns that a row's name is made of, in its order."""

_ALL_TYPES = re.compile(r"(all|average|avg\.?|mean|overall|total)\b.*", re.I)


@dataclass(frozen=True)
class RawRow:
    """A row of a table before its units are known.

    Attributes:
        line: its line in the file.
        labels: texts by what they are.
        means: cells with the printed numbers by metric.
        counts: numbers of pictures by metric.
    """

    line: int
    labels: Mapping[Role, str]
    means: Mapping[str, Cell]
    counts: Mapping[str, int]

    @property
    def numbers(self) -> dict[str, float]:
        """The printed numbers by metric."""
        return {key: float(number_in(cell.text) or 0) for key, cell in self.means.items()}


def make_rows(rows: Sequence[RawRow], columns: Mapping[str, Column]) -> list[Row]:
    """Rows in Table 1's units."""
    made: list[Row] = []
    for row in rows:
        shifts = {key: QUANTITIES[key].power - columns[key].power for key in row.means}
        values = {
            key: printed(
                number_in(cell.text) or "", shifts[key], cell.line if cell.line != row.line else None
            )
            for key, cell in row.means.items()
        }
        labels = row.labels
        images = number_in(labels.get(Role.IMAGES, ""))
        made.append(
            Row(
                name=" + ".join(filter(None, (labels.get(role, "") for role in NAMES)))
                or f"row {len(made) + 1}",
                values=values,
                model=labels.get(Role.MODEL, ""),
                line=row.line,
                images=int(float(images)) if images else None,
                counts=row.counts,
                clip_model=labels.get(Role.CLIP_MODEL, ""),
                type=_type(labels.get(Role.TYPE, "")),
                source=labels.get(Role.SOURCE, ""),
            )
        )
    return made


def column_of(key: str, text: str, heading: Heading, rows: Sequence[RawRow], line: int) -> Column:
    """A metric's column, with the unit that its heading says, or that its values tell."""
    power = heading.power
    if power is None:
        power = power_of_column(key, [row.numbers for row in rows])
    return Column(key, text, power, heading.power is not None, line, heading.clip_model)


def is_of_all_types(text: str) -> bool:
    """Whether a label is of all editing types together."""
    return not text or bool(_ALL_TYPES.fullmatch(text))


def _type(text: str) -> str:
    """The editing type of a row; empty for all types together."""
    return "" if is_of_all_types(text) else type_of(text) or text
