"""A table of means as the rules see it, and what they find in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from piebench_eval.lint.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Value:
    """A printed mean in Table 1's unit.

    Attributes:
        text: as it is printed.
        number: the mean; finite.
        half: half of the last printed digit: how far the mean may be from ``number`` by rounding. 0 for a
            mean that is known in full.
        line: its line in the file, where that is not the row's.
    """

    text: str
    number: Decimal
    half: Decimal = Decimal(0)
    line: int | None = None

    @property
    def low(self) -> float:
        """The least mean that is printed so."""
        return float(self.number - self.half)

    @property
    def high(self) -> float:
        """The greatest mean that is printed so."""
        return float(self.number + self.half)


def printed(text: str, shift: int = 0, line: int | None = None) -> Value:
    """Read a printed number, whose last digit is rounded.

    Args:
        text: such as ``9.48``, ``0.00948`` or ``9.5e-3``.
        shift: power of ten from its unit to Table 1's.
        line: its line in the file.

    >>> value = printed("9.48", shift=1)
    >>> value.number, value.half
    (Decimal('94.8'), Decimal('0.05'))

    Raises:
        decimal.InvalidOperation: the text is no number.
    """
    number = Decimal(text).scaleb(shift)
    exponent = number.as_tuple().exponent
    return Value(
        text, number, Decimal(5).scaleb(exponent - 1) if isinstance(exponent, int) else Decimal(0), line
    )


UNPUBLISHED = (9, 0, 0)
"""Order of rows that come after all published ones."""


@dataclass(frozen=True)
class Row:
    """A row of means.

    Attributes:
        name: the method, or inversion and method.
        values: the means by Table 1's keys.
        model: the model, if it is said.
        line: its line in the file, or its number among the rows; None where neither helps.
        images: how many pictures the means rest on, if it is said.
        counts: how many of them single metrics rest on, by key, where that is said.
        clip_model: the CLIP that scored it, if it is said.
        type: the editing type that it is of; empty for all types together.
        source: where it is printed; empty for rows of one's own.
        order: its place in the order of publication. Of rows with the same digits, the first is the original.
    """

    name: str
    values: Mapping[str, Value]
    model: str = ""
    line: int | None = None
    images: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    clip_model: str = ""
    type: str = ""
    source: str = ""
    order: tuple[int, int, int] = UNPUBLISHED


@dataclass(frozen=True)
class Column:
    """A metric's column.

    Attributes:
        key: Table 1's key.
        heading: as it is printed.
        power: its unit, as the power of ten that scores are multiplied by.
        stated: whether the heading says the unit; else it is told from the values.
        line: line of the heading.
        clip_model: the CLIP that the heading names, if any.
    """

    key: str
    heading: str
    power: int
    stated: bool = False
    line: int | None = None
    clip_model: str = ""


def standard_column(key: str) -> Column:
    """A metric's column under its key and in Table 1's unit."""
    return Column(key, key, QUANTITIES[key].power, stated=True)


@dataclass(frozen=True)
class Table:
    """A table of means.

    Attributes:
        title: the file, or the source of published rows.
        rows: its rows, in order.
        columns: its metrics by key.
        remarks: what was not read, such as unknown columns.
    """

    title: str
    rows: tuple[Row, ...]
    columns: Mapping[str, Column]
    remarks: tuple[str, ...] = ()


_FEW = 2
"""A finding about more metrics is about the row."""


class Level(StrEnum):
    """How sure a finding is."""

    IMPOSSIBLE = "impossible"
    DOUBTFUL = "doubtful"
    INCOMPARABLE = "incomparable"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """What a rule has found.

    Attributes:
        rule: name of the rule.
        level: ``impossible``, ``doubtful`` or ``incomparable``; a ``note`` is no fault.
        where: the file, or the source of published rows.
        line: line in the file, or number of the published row; None for the whole table.
        row: name of the row; empty for the whole table.
        keys: metrics that it is about.
        column: heading of the first of them.
        what: the fault.
        why: why it matters.
        mend: what would mend it.
    """

    rule: str
    level: Level
    where: str
    line: int | None
    row: str
    keys: tuple[str, ...]
    column: str
    what: str
    why: str
    mend: str

    @property
    def place(self) -> str:
        """File, line, row and, unless it is about the row as a whole, column in one text."""
        line = f":{self.line}" if self.line is not None else ""
        column = self.column if len(self.keys) <= _FEW else ""
        return ", ".join(filter(None, [f"{self.where}{line}", self.row, column]))

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {**asdict(self), "level": self.level.value, "keys": list(self.keys)}


def finding(
    rule: str,
    level: Level,
    table: Table,
    row: Row | None,
    keys: tuple[str, ...],
    *,
    what: str,
    why: str,
    mend: str,
) -> Finding:
    """A finding about a row of a table, or about the table if ``row`` is None."""
    columns = [table.columns[key] for key in keys if key in table.columns]
    first = keys[0] if keys else ""
    lines = [row.values[first].line, row.line] if row and first in row.values else [row.line if row else None]
    if row is None and columns:
        lines = [columns[0].line]
    line = next((number for number in lines if number is not None), None)
    heading = columns[0].heading if columns else ""
    return Finding(rule, level, table.title, line, row.name if row else "", keys, heading, what, why, mend)
