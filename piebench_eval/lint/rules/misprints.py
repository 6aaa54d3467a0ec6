"""A value that no other source prints for the method, in a row that agrees with theirs otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.rules.names import same_method, words
from piebench_eval.lint.table import Level, finding, printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from piebench_eval.lint.table import Finding, Row, Table, Value

_LEAST_VALUES = 2
_LEAST_AGREEING = 3
_TOLERANCE, _FAR = 0.25, 1.25
"""How far outside of other sources' range a mean of the same method may be, and where it is far from them; in
usual spreads."""


def misprints(table: Table, references: Sequence[Row]) -> Iterator[Finding]:
    """Find values far from all other sources' for the method that one digit would bring among them.

    Args:
        table: the table.
        references: rows of other sources.
    """
    for row in table.rows:
        ranges = {} if row.type else _ranges(row, references)
        odd = [key for key, found in ranges.items() if found.distance(row.values[key]) > found.slack]
        if len(odd) != 1 or len(ranges) - 1 < _LEAST_AGREEING:
            continue
        key, found = odd[0], ranges[odd[0]]
        if found.distance(row.values[key]) < max(2 * found.slack, _FAR * QUANTITIES[key].spread):
            continue
        shift = QUANTITIES[key].power - table.columns[key].power
        fitting = [text for text in _one_digit_off(row.values[key].text) if found.has(text, shift)]
        if fitting:
            yield _misprint(table, row, key, found, fitting[0])


@dataclass(frozen=True)
class _Range:
    """What other sources print for a method.

    Attributes:
        low: the least mean.
        high: the greatest.
        values: how many different ones there are.
        slack: how far outside of them another may be.
    """

    low: float
    high: float
    values: int
    slack: float

    def distance(self, value: Value) -> float:
        """By how much a mean is outside; 0 or less within."""
        return max(self.low - float(value.number), float(value.number) - self.high)

    def has(self, text: str, shift: int) -> bool:
        """Whether a printed number is in the range, or near."""
        return self.distance(printed(text, shift)) <= self.slack / 2


def _ranges(row: Row, references: Sequence[Row]) -> dict[str, _Range]:
    """What others print for a row's method and model, for metrics with two different values at least."""
    others = [
        other
        for other in references
        if other.source != row.source and words(other.name) == words(row.name) and same_method(row, other)
    ]
    ranges = {}
    for key in row.values:
        numbers = {float(other.values[key].number) for other in others if key in other.values}
        if len(numbers) >= _LEAST_VALUES:
            slack = max(max(numbers) - min(numbers), _TOLERANCE * QUANTITIES[key].spread)
            ranges[key] = _Range(min(numbers), max(numbers), len(numbers), slack)
    return ranges


def _one_digit_off(text: str) -> list[str]:
    """A printed number with one digit changed, put in, or left out, or two neighbours exchanged.

    >>> "83.22" in _one_digit_off("93.22"), "179.3" in _one_digit_off("79.3")
    (True, True)
    """
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    changed = {text[:place] + digit + text[place + 1 :] for place in digits for digit in "0123456789"}
    added = {text[:place] + digit + text[place:] for place in digits for digit in "0123456789"}
    left_out = {text[:place] + text[place + 1 :] for place in digits}
    exchanged = {
        text[:place] + text[place + 1] + text[place] + text[place + 2 :]
        for place in digits
        if place + 1 in digits
    }
    # One changed digit is the simplest explanation, then one lost.
    groups = (changed, exchanged, added, left_out)
    return [number for group in groups for number in sorted(group) if number != text and number[:1].isdigit()]


def _misprint(table: Table, row: Row, key: str, found: _Range, corrected: str) -> Finding:
    title, value = QUANTITIES[key].title, row.values[key]
    return finding(
        "misprint",
        Level.DOUBTFUL,
        table,
        row,
        (key,),
        what=f"{title} is {value.text}, where others print {found.values} values from {found.low:g} to "
        f"{found.high:g} for this method and model; all else in the row agrees with theirs",
        why="what changes one metric by so much changes others too",
        mend=f"look it up where it was measured: with one digit off it would be {corrected}",
    )
