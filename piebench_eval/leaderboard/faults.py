"""What the linter finds in the published rows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from piebench_eval.lint.check import lint_table, published_tables
from piebench_eval.lint.references import reference_rows
from piebench_eval.lint.table import Level

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def published_faults() -> tuple[Mapping[str, str], ...]:
    """How sure the linter is that means are wrong, ``impossible`` or ``doubtful``.

    Returns:
        For each published row, in the order of the file, by metric.
    """
    place_of_line = {row.line: place for place, row in enumerate(reference_rows())}
    found: list[dict[str, str]] = [{} for _ in place_of_line]
    for level in (Level.DOUBTFUL, Level.IMPOSSIBLE):
        for one in (one for table in published_tables() for one in lint_table(table)):
            if one.level is level and one.line is not None:
                # What is impossible is so beside another mean, which is right.
                keys = one.keys[:1] if level is Level.IMPOSSIBLE else one.keys
                found[place_of_line[one.line]] |= dict.fromkeys(keys, level.value)
    return tuple(found)
