"""Means that rest on different pictures, or were averaged in different ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from piebench_eval.lint.table import Finding, Row, Table, Value

PICTURES_OF_TYPE = {
    "0": 140, "1": 80, "2": 80, "3": 80, "4": 40, "5": 40, "6": 40, "7": 40, "8": 80, "9": 80,
}  # fmt: skip
"""How many of PIE-Bench's 700 pictures are of each editing type."""


def type_of(text: str) -> str | None:
    """The editing type that a label names; None for another label.

    >>> labels = ("0", "1 change object", "6_change_attribute_color_40", "Material", "Average")
    >>> [type_of(label) for label in labels]
    ['0', '1', '6', '7', None]
    """
    words = text.lower().replace("_", " ").replace("-", " ").split()
    if words and words[0] in TYPE_NAMES:
        return words[0]
    words = [word.replace("colour", "color") for word in words if not word.isdecimal()]
    names = {type_id: name.split() for type_id, name in TYPE_NAMES.items()}
    return next(
        (
            key
            for key, name in names.items()
            if words and (words == name or (words in (name[-1:], name[:1]) and _is_own(words[0], names)))
        ),
        None,
    )


def _is_own(word: str, names: Mapping[str, Sequence[str]]) -> bool:
    """Whether only one type has the word in its name."""
    return sum(word in name for name in names.values()) == 1


def fewer_pictures(table: Table) -> Iterator[Finding]:
    """Find rows whose means rest on fewer pictures than the others', as a whole or in a metric."""
    rows = [row for row in table.rows if not row.type]
    most = max((row.images for row in rows if row.images is not None), default=0)
    for row in rows:
        if row.images is not None and row.images < most:
            what = f"the means rest on {row.images} pictures, those of other rows on {most}"
            yield _fewer(table, row, (), Level.INCOMPARABLE, what)
    for key in table.columns:
        counts = {
            position: row.counts[key]
            for position, row in enumerate(rows)
            if key in row.counts and key in row.values
        }
        most_counted = max(counts.values(), default=0)
        for position, count in counts.items():
            row, title = rows[position], QUANTITIES[key].title
            images = row.images or count
            if count < most_counted and images >= most:
                what = f"{title} rests on {count} pictures, that of other rows on {most_counted}"
                yield _fewer(table, row, (key,), Level.INCOMPARABLE, what)
            elif count < images:
                what = f"{title} rests on {count} of the row's {images} pictures"
                yield _fewer(table, row, (key,), Level.NOTE, what)


def _fewer(table: Table, row: Row, keys: tuple[str, ...], level: Level, what: str) -> Finding:
    return finding(
        "fewer-pictures",
        level,
        table,
        row,
        keys,
        what=what,
        why="pictures differ more than methods do: means over other pictures cannot be compared",
        mend="score all rows on the same pictures, or say beside the number how many it rests on",
    )


def mean_of_categories(table: Table) -> Iterator[Finding]:
    """Find means that are means of the editing types' means, or that no means of the types can have.

    Types have 40 to 140 pictures each, so the mean of their means is not the mean over pictures.
    """
    for row in table.rows:
        if row.type:
            continue
        parts = [
            part for part in table.rows if part.type and (part.name, part.model) == (row.name, row.model)
        ]
        for key in row.values:
            of_types = [part for part in parts if key in part.values]
            if len(of_types) > 1 and (found := _of_categories(table, row, key, of_types)):
                yield found


def _of_categories(table: Table, row: Row, key: str, parts: Sequence[Row]) -> Finding | None:
    value, values = row.values[key], [part.values[key] for part in parts]
    title = QUANTITIES[key].title
    if value.high < min(one.low for one in values) or value.low > max(one.high for one in values):
        return finding(
            "mean-of-categories",
            Level.IMPOSSIBLE,
            table,
            row,
            (key,),
            what=f"{title} {value.text} lies outside of the means of its {len(parts)} editing types",
            why="a mean lies between the means of its parts",
            mend="average again over all pictures",
        )
    sizes = [_size(part, key) for part in parts]
    if None in sizes:
        return None
    weights = [size or 0 for size in sizes]
    slack = float(value.half) + max(float(one.half) for one in values)
    numbers = [float(one.number) for one in values]
    over_pictures = sum(n * number for n, number in zip(weights, numbers, strict=True)) / sum(weights)
    over_types = sum(numbers) / len(numbers)
    printed = float(value.number)
    if abs(printed - over_types) > slack or abs(printed - over_pictures) <= 2 * slack:
        return None
    shift = table.columns[key].power - QUANTITIES[key].power
    return finding(
        "mean-of-categories",
        Level.INCOMPARABLE,
        table,
        row,
        (key,),
        what=f"{title} {value.text} is the mean of the means of {len(parts)} editing types; over their "
        "pictures it "
        f"is {over_pictures * 10**shift:.{_decimals(value)}f}",
        why="the types have different numbers of pictures, and the benchmark's numbers are means over "
        "pictures",
        mend="average over all pictures, whatever their type",
    )


def _size(part: Row, key: str) -> int | None:
    """How many pictures a mean of one type rests on; those of the benchmark if that is not said."""
    if key in part.counts:
        return part.counts[key]
    return part.images if part.images is not None else PICTURES_OF_TYPE.get(type_of(part.type) or "")


def _decimals(value: Value) -> int:
    return len(value.text.partition(".")[2]) or 2
