"""Rows with the digits of others: copied as they are, copied with a change, or of another method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.combination_names import REFERENCES
from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.rules.coincidence import shared_digits
from piebench_eval.lint.rules.names import same_method
from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from piebench_eval.lint.rules.coincidence import SharedDigits
    from piebench_eval.lint.table import Finding, Row, Table

_MOST_CHANCE = 1e-5
"""Digits that are shared with less chance are taken for a copy."""

_LEAST_COPY = 3
"""Equal means that a row copied from one of hundreds has at least."""

_LEAST_IN_TABLE = 2
"""Equal means that tell of a copy between two rows of a table."""


def copied_rows(table: Table, references: Sequence[Row]) -> Iterator[Finding]:
    """Tell rows that repeat another source's row of the same method: as it is (a note), or with changes.

    Every changed value is a finding. It names the row of the same table that has the value, if there is one.

    Args:
        table: the table.
        references: rows of other sources.
    """
    for row in table.rows:
        copies = [copy for copy in _copies(row, references) if copy[0].source != row.source]
        if not copies:
            continue
        # A row that agrees with one source in all its digits is no misprint of another source's.
        other, shared = min(copies, key=lambda copy: (len(copy[1].different), -len(copy[1].equal)))
        if not shared.different:
            yield _copy(table, row, other, shared)
        for key in shared.different:
            yield _changed_value(table, row, other, shared, key)


def digits_of_another(table: Table, references: Sequence[Row]) -> Iterator[Finding]:
    """Find rows that share digits with another method's row, in the same table or in another source.

    Means that a source prints for the row's own method do not count within the table, and those that
    ``copied_rows`` finds changed do not count at all.

    Args:
        table: the table.
        references: rows of other sources.
    """
    copies = [_copies(row, references) for row in table.rows]
    known = [{key for _, shared in found for key in (*shared.equal, *shared.different)} for found in copies]
    for position, row in enumerate(table.rows):
        in_table = [
            (other, shared_digits(row, other, known[position] & known[at]))
            for at, other in enumerate(table.rows)
            if at != position and _are_other_methods(row, other) and _is_later(position, at, known)
        ]
        # A repeated row is as old as its original: it has no digits of what was printed after that.
        first = min([row.order, *(other.order for other, _ in copies[position])])
        changed = {key for _, shared in copies[position] for key in shared.different}
        elsewhere = [
            (other, shared_digits(row, other, changed))
            for other in references
            if other.order < first and other.source != row.source and not same_method(row, other)
        ]
        copied = [pair for pair in in_table if _is_no_coincidence(pair[1], _LEAST_IN_TABLE)]
        copied += [pair for pair in elsewhere if _is_no_coincidence(pair[1], _LEAST_COPY)]
        if copied:
            yield _same_digits(table, row, *min(copied, key=lambda pair: pair[1].chance))


def _copies(row: Row, references: Sequence[Row]) -> list[tuple[Row, SharedDigits]]:
    """The references that a row repeats, with changes or without."""
    pairs = [
        (other, shared_digits(row, other))
        for other in references
        if other.order < row.order and same_method(row, other)
    ]
    return [
        (other, shared)
        for other, shared in pairs
        if _is_no_coincidence(shared, _LEAST_COPY) and len(shared.equal) > len(shared.different)
    ]


def _is_no_coincidence(shared: SharedDigits, least: int) -> bool:
    return len(shared.equal) >= least and shared.chance < _MOST_CHANCE


def _are_other_methods(row: Row, other: Row) -> bool:
    """Whether two rows of one table are of different methods; a baseline may be repeated in it.

    The ideal edits and the unedited sources of the demo share their background.
    """
    if row.name in REFERENCES and other.name in REFERENCES:
        return False
    return (row.name, row.model) != (other.name, other.model) and row.type == other.type


def _is_later(this: int, other: int, known: Sequence[set[str]]) -> bool:
    """Whether a finding about two rows is at this one: that which fewer sources confirm, else the lower."""
    return (len(known[other]), this) > (len(known[this]), other)


def _copy(table: Table, row: Row, other: Row, shared: SharedDigits) -> Finding:
    return finding(
        "copied-row",
        Level.NOTE,
        table,
        row,
        shared.equal,
        what=f"{len(shared.equal)} values are those of {_of(other, table)}",
        why="a copied baseline was not run again: it is no further evidence for its numbers, and has the "
        "protocol "
        "of its source",
        mend="say in the table where the row is from",
    )


def _changed_value(table: Table, row: Row, other: Row, shared: SharedDigits, key: str) -> Finding:
    value, original = row.values[key], other.values[key]
    owner = next(
        (
            one
            for one in table.rows
            if one is not row and key in one.values and one.values[key].number == value.number
        ),
        None,
    )
    taken = f"; {value.text} is the value of {_of(owner, table)}" if owner else ""
    return finding(
        "changed-copy",
        Level.DOUBTFUL,
        table,
        row,
        (key,),
        what=f"{QUANTITIES[key].title} is {value.text}, where {_of(other, table)} has {original.text}, and "
        f"{_titles(shared.equal)} are the same{taken}",
        why="a row with another's digits in all places but some was copied, and the others are errors of "
        "copying "
        "or of its source",
        mend=f"look it up in the source and print {original.text}, or run the method again for the whole row",
    )


def _same_digits(table: Table, row: Row, other: Row, shared: SharedDigits) -> Finding:
    apart = f", and only {_titles(shared.different)} are not" if shared.different else ""
    return finding(
        "digits-of-another",
        Level.DOUBTFUL,
        table,
        row,
        shared.equal,
        what=f"{_titles(shared.equal)} are digit for digit those of {_of(other, table)}{apart}",
        why=f"by chance this happens less than once in {_once_in(shared.chance)}: one of the two rows was "
        "copied "
        "from the other in part or whole, or both are one method",
        mend="look the numbers up where they were measured; if both rows are one method, give them one name",
    )


def _of(row: Row, table: Table) -> str:
    """A row by its name, line and, where it is another's, source."""
    model = f", {row.model}" if row.model else ""
    if row in table.rows:
        return f"{row.name}{model}" + (f" (line {row.line})" if row.line is not None else "")
    return f"{row.name}{model} in {row.source}"


def _titles(keys: Sequence[str]) -> str:
    titles = [QUANTITIES[key].title for key in keys]
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]]))


def _once_in(chance: float) -> str:
    """A chance in round figures.

    >>> _once_in(3e-7)
    '1,000,000'
    """
    power = 5
    while 10 ** -(power + 1) > chance and power < 12:
        power += 1
    return f"{10**power:,}"
