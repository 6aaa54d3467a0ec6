"""MSE and PSNR of one set of pictures bind each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from piebench_eval.lint.quantities import unit_text
from piebench_eval.lint.table import Level, finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from piebench_eval.lint.table import Column, Finding, Row, Table, Value

_POWERS = (0, 2, 3, 4, 5)
"""Units that MSE has been printed in."""

USUAL_RATIO = 4.0
"""Nine of ten published rows have an MSE of 1 to 2 times the bound, nearly all below 4 times."""

_ROUND_OFF = 1e-5
"""Scores are computed in single precision; over one picture MSE and bound are equal."""

_WHY = (
    "a picture's PSNR is -10 log10 of its MSE, and -log10 is convex, so over one set of pictures "
    "mean MSE >= 10^(-mean PSNR / 10) (Jensen's inequality): no pictures have these two means"
)


_ROUND = "it is true only if the table cuts digits off: round both numbers, or print more digits of the MSE"


def least_mse(psnr: float) -> float:
    """The least mean MSE beside a mean PSNR in dB, ×10⁴, of pictures in 0..1.

    >>> round(least_mse(20.28), 1)
    93.8
    """
    return 10 ** (4 - plausible_psnr(psnr) / 10)


def plausible_psnr(psnr: float) -> float:
    """A PSNR within -100 to 300 dB, whatever a table prints, so that what is computed of it is finite."""
    return min(max(psnr, -100.0), 300.0)


def mse_below_psnr(table: Table) -> Iterator[Finding]:
    """Find rows whose mean MSE is below what their mean PSNR needs, rounded though both are.

    Where another unit makes the pair possible and ordinary, the finding names it. A pair that is possible if
    its digits were cut off instead of rounded is doubtful only.
    """
    for row in _rows_with_both(table):
        mse, psnr = row.values["mse"], row.values["psnr"]
        needed = least_mse(psnr.high)
        if mse.high >= needed * (1 - _ROUND_OFF):
            continue
        column = table.columns["mse"]
        is_cut = _is_possible_if_cut(mse, psnr)
        yield finding(
            "mse-below-psnr",
            Level.DOUBTFUL if is_cut else Level.IMPOSSIBLE,
            table,
            row,
            ("mse", "psnr"),
            what=f"MSE {mse.text} ({unit_text('mse', column.power)}) is impossible beside PSNR {psnr.text}"
            f"{' if both are rounded' if is_cut else ''}: "
            f"it has to be at least {needed * 10 ** (column.power - 4):.4g}",
            why=_WHY,
            mend=_ROUND if is_cut else _mend(row, column),
        )


def _is_possible_if_cut(mse: Value, psnr: Value) -> bool:
    """Whether two printed means are possible where each may be up to a whole last digit more than printed."""
    return float(mse.number + 2 * mse.half) > least_mse(float(psnr.number + 2 * psnr.half))


def mse_of_mean_psnr(table: Table) -> Iterator[Finding]:
    """Note rows whose mean MSE is exactly the bound: MSE or PSNR was computed from the other's mean."""
    for row in _rows_with_both(table):
        mse, psnr = row.values["mse"], row.values["psnr"]
        if row.images == 1 or mse.high < least_mse(psnr.high) or mse.low > least_mse(psnr.low):
            continue
        yield finding(
            "mse-of-mean-psnr",
            Level.NOTE,
            table,
            row,
            ("mse", "psnr"),
            what=f"MSE {mse.text} is exactly 10^(-PSNR / 10) for PSNR {psnr.text}",
            why="this needs the same error in every picture, so one of the two means was probably computed "
            "from "
            "the other, and is not a mean over pictures as others print it",
            mend="average PSNR and MSE over the pictures, each by itself",
        )


def likely_power(row: Row, column: Column) -> int | None:
    """The unit that makes a row's MSE possible and ordinary beside its PSNR.

    Returns:
        Its power of ten; None if there is none but the column's own.
    """
    mse, psnr = row.values["mse"], row.values["psnr"]
    for power in _POWERS:
        factor = 10.0 ** (column.power - power)
        possible = mse.high * factor >= least_mse(psnr.high)
        usual = mse.low * factor <= USUAL_RATIO * least_mse(psnr.low)
        if possible and usual and power != column.power:
            return power
    return None


def _mend(row: Row, column: Column) -> str:
    power = likely_power(row, column)
    if power is None:
        return (
            "no unit makes it true: check both numbers, and that both are means over the same pictures, none "
            "of which was left out of one of them for an infinite PSNR"
        )
    digits = row.values["mse"].number.scaleb(column.power - power)
    here = digits.scaleb(column.power - 4)
    return (
        f"it is true if {row.values['mse'].text} is {unit_text('mse', power)}: print {here:f} here, or the "
        "whole "
        "column in one unit"
    )


def _rows_with_both(table: Table) -> Iterator[Row]:
    for row in table.rows:
        if {"mse", "psnr"} <= row.values.keys() and math.isfinite(row.values["psnr"].high):
            yield row
