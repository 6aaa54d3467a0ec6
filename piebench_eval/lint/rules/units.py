"""Units mixed within a column, and headings whose unit is not that of the values."""

from __future__ import annotations

from math import log
from statistics import median
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import QUANTITIES, unit_text
from piebench_eval.lint.rules.bound import USUAL_RATIO, least_mse, likely_power, plausible_psnr
from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.lint.table import Column, Finding, Row, Table

_POWERS = (-2, 0, 1, 2, 3, 4, 5)
_WITHOUT_FACTOR = {"clip_whole": -2, "clip_edit": -2}
"""Units of scores as they are computed; that of other metrics is 0."""

_NEAR, _FAR = 2.5, 4.5
"""Published LPIPS lie within a factor of 2.1 of what ``usual_lpips`` gives."""

_TOO_LARGE = 2 * USUAL_RATIO
"""An MSE is above this many times what PSNR needs in no published row."""

_WITHIN = 12.0
"""A value read in its right unit is within this factor of the column's median."""


def usual_lpips(psnr: float) -> float:
    """The LPIPS, ×10³, that usually goes with a PSNR, by a line through the published rows."""
    return float(10 ** (3.507 - 0.0655 * plausible_psnr(psnr)))


def mixed_units(table: Table) -> Iterator[Finding]:
    """Find values that are in another unit than their column.

    A value counts only where one other unit makes it usual. MSE below the bound of ``mse_below_psnr`` is left
    to that rule, and so is ×10³ for ×10² in a column that has no PSNR beside it: nothing tells.
    """
    for key, column in table.columns.items():
        rows = [row for row in table.rows if key in row.values]
        guesses = [(row, power) for row in rows if (power := _power_of(row, column, rows)) is not None]
        powers = {power for _, power in guesses}
        if len(rows) > 1 and len(guesses) == len(rows) and len(powers) == 1:
            yield _wrong_heading(table, column, powers.pop(), len(rows))
            continue
        for row, power in guesses:
            yield _other_unit(table, row, column, power)


def _power_of(row: Row, column: Column, rows: list[Row]) -> int | None:
    """The unit that a value is in; None if it is the column's, or cannot be told."""
    key, value = column.key, row.values[column.key]
    if value.number == 0 or key == "psnr":
        return None
    if key == "mse" and "psnr" in row.values:
        return _power_of_mse(row, column)
    if _is_usual(key, float(value.number), row, _FAR):
        return None
    read = {power: float(value.number) * 10.0 ** (column.power - power) for power in _POWERS}
    fitting = [power for power in read if power != column.power and _is_usual(key, read[power], row, _NEAR)]
    others = [float(other.values[key].number) for other in rows if other is not row]
    usual = [number for number in others if _is_usual(key, number, row, float("inf"))]
    if not usual:
        return _WITHOUT_FACTOR.get(key, 0) if _WITHOUT_FACTOR.get(key, 0) in fitting else None
    centre = median(usual)
    return min(
        (power for power in fitting if centre / _WITHIN <= read[power] <= centre * _WITHIN),
        key=lambda power: abs(log(read[power] / centre)),
        default=None,
    )


def _is_usual(key: str, number: float, row: Row, slack: float) -> bool:
    """Whether a value, in Table 1's unit, is one that editors get.

    Args:
        key: the metric.
        number: the value.
        row: its row, whose PSNR says much about LPIPS.
        slack: for LPIPS beside a PSNR: by which factor it may be off.
    """
    lowest, highest = QUANTITIES[key].usual
    if key == "lpips" and "psnr" in row.values and slack < float("inf"):
        return 1 / slack <= number / usual_lpips(float(row.values["psnr"].number)) <= slack
    return lowest <= number <= highest


def _power_of_mse(row: Row, column: Column) -> int | None:
    """The unit of an MSE that is far above what PSNR needs; one below it is the bound's."""
    mse, psnr = row.values["mse"], row.values["psnr"]
    too_large = mse.low > _TOO_LARGE * least_mse(psnr.low)
    return likely_power(row, column) if too_large else None


def _other_unit(table: Table, row: Row, column: Column, power: int) -> Finding:
    value, quantity = row.values[column.key], QUANTITIES[column.key]
    right = value.number.scaleb(column.power - power).scaleb(column.power - quantity.power)
    return finding(
        "mixed-units",
        Level.DOUBTFUL,
        table,
        row,
        (column.key,),
        what=f"{quantity.title} {value.text} looks like {unit_text(column.key, power)} in a column that is "
        f"{unit_text(column.key, column.power)}",
        why="rows in different units cannot be ranked, and whoever copies the row copies the factor with it",
        mend=f"print {right:f}, or the whole column in one unit",
    )


def _wrong_heading(table: Table, column: Column, power: int, rows: int) -> Finding:
    unit = unit_text(column.key, column.power)
    stated = f"the heading says {unit}" if column.stated else f"{unit} was taken for the column's unit"
    return finding(
        "wrong-unit",
        Level.DOUBTFUL,
        table,
        None,
        (column.key,),
        what=f"all {rows} values of {QUANTITIES[column.key].title} look like {unit_text(column.key, power)}, "
        "and "
        f"{stated}",
        why="a reader takes them for values in the heading's unit",
        mend=f"write {unit_text(column.key, power)} in the heading, or multiply the values by "
        f"10^{column.power - power}",
    )
