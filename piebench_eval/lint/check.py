"""Apply the rules to tables."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import is_embedded
from piebench_eval.lint.references import reference_rows, tables_by_source
from piebench_eval.lint.rules.bound import mse_below_psnr, mse_of_mean_psnr
from piebench_eval.lint.rules.clip_models import mixed_clip_models
from piebench_eval.lint.rules.copies import copied_rows, digits_of_another
from piebench_eval.lint.rules.misprints import misprints
from piebench_eval.lint.rules.pictures import fewer_pictures, mean_of_categories
from piebench_eval.lint.rules.ranges import out_of_range, unusual_clip
from piebench_eval.lint.rules.units import mixed_units
from piebench_eval.lint.table import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.lint.table import Finding, Row, Table

_OF_ANY_PICTURES = (mse_below_psnr, out_of_range, mixed_clip_models, fewer_pictures, mean_of_categories)
_OF_THE_BENCHMARK = (mixed_units, unusual_clip, mse_of_mean_psnr)
"""Rules that know which values are usual."""

_ABOUT_THE_FIRST = ("mse-below-psnr", "clip-exchanged")
"""Rules whose further metrics are what the first one is held against."""

_AMONG_SOURCES = (copied_rows, digits_of_another, misprints)


def lint_table(table: Table, references: Sequence[Row] | None = None) -> list[Finding]:
    """Find what cannot be true in a table of means, or cannot be compared.

    Args:
        table: the table.
        references: rows of other sources, that of the table too; by default the published rows.

    Returns:
        Findings in the order of the rows, notes last.
    """
    references = reference_rows() if references is None else references
    found = [one for rule in _OF_ANY_PICTURES for one in rule(table)]
    # The demo's small pictures and networks have values of their own.
    usual = replace(table, rows=tuple(row for row in table.rows if not is_embedded(row.model)))
    found += [one for rule in _OF_THE_BENCHMARK for one in rule(usual)]
    found += [one for rule in _AMONG_SOURCES for one in rule(table, references)]
    return _in_order(_once(found))


def published_tables() -> list[Table]:
    """The published rows that ship with the package, a table for each source.

    That sources differ in their pictures or CLIP models is no fault.
    """
    return tables_by_source(reference_rows())


@cache
def published_faults() -> dict[int, dict[str, str]]:
    """What is wrong with published means, by the row's position in ``published_rows`` and metric."""
    found: dict[int, dict[str, str]] = {}
    for table in published_tables():
        positions = {row.line: row.order[-1] for row in table.rows}
        for one in faults(lint_table(table)):
            blamed = one.keys[:1] if one.rule in _ABOUT_THE_FIRST else one.keys
            found.setdefault(positions[one.line], {}).update(dict.fromkeys(blamed, one.what))
    return found


def faults(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are no mere notes."""
    return [one for one in findings if one.level is not Level.NOTE]


def _once(found: Sequence[Finding]) -> list[Finding]:
    """Without other findings about a value that is impossible; what would mend it may be another unit."""
    impossible = {_cell(one) for one in found if one.level is Level.IMPOSSIBLE and one.keys}
    mends = {_cell(one): one.mend for one in found if one.rule == "mixed-units"}
    kept = [
        one for one in found if one.level is Level.IMPOSSIBLE or not one.keys or _cell(one) not in impossible
    ]
    return [
        replace(one, mend=mends[_cell(one)]) if one.rule == "out-of-range" and _cell(one) in mends else one
        for one in kept
    ]


def _cell(one: Finding) -> tuple[object, ...]:
    """The place of a finding: file, line, row and first metric, if it has one."""
    return (one.where, one.line, one.row, *one.keys[:1])


def _in_order(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (one.level is Level.NOTE, one.line is not None, one.line or 0))
