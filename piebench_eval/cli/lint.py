"""``piebench lint``: find what cannot be true in tables of means."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.cli.console import counted, out
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.lint.table import Finding, Table


def lint(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[TABLE]...",
            help="Tables of means as CSV, LaTeX (.tex) or Markdown (.md); all tables of a file are read.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Check the published rows that ship with the package.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find what cannot be true in a table of means, or cannot be compared.

    No picture is needed: the numbers of a table bind each other, and others have
    printed some of them. Checked are MSE against PSNR, ranges, units that are
    mixed in a column, digits of another method's row, published rows that were
    copied with a change, misprints, means over fewer pictures or over editing
    types, and CLIP models.

    A finding says what is wrong, where, why it matters and what would mend it.
    Notes, such as rows that repeat a published one, are no faults. The exit code
    is 1 with findings, 2 if a table cannot be read, and 0 without. The scores of
    one's own pictures are checked by piebench table.

    Examples:

      piebench lint paper/results.tex

      piebench lint mine.csv README.md --json

      piebench lint --published
    """
    from piebench_eval.lint.check import faults, lint_table, published_tables
    from piebench_eval.lint.reading.files import read_tables

    if not files and not published:
        raise PiebenchError("nothing to check; name a table (.csv, .tex, .md), or give --published")
    tables = [table for file in files or [] for table in read_tables(file)]
    tables += published_tables() if published else []
    findings = [one for table in tables for one in lint_table(table)]
    if as_json:
        _print_json(tables, findings)
    else:
        _print(tables, findings)
    raise typer.Exit(1 if faults(findings) else 0)


def _print(tables: Sequence[Table], findings: Sequence[Finding]) -> None:
    from piebench_eval.lint.check import faults

    found = faults(findings)
    for one in found:
        out.print(one.place, style="bold")
        out.print(f"  {one.level.value}: {one.what}")
        out.print(f"  why: {one.why}")
        out.print(f"  mend: {one.mend}\n")
    notes = [f"{one.place}: {one.what}" for one in findings if one not in found]
    for note in [*notes, *(f"{table.title}: {remark}" for table in tables for remark in table.remarks)]:
        out.print(f"- note: {note}")
    rows = counted(sum(len(table.rows) for table in tables), "row")
    levels = Counter(one.level.value for one in found)
    kinds = ", ".join(f"{number} {level}" for level, number in levels.items())
    result = f"{counted(len(found), 'finding')} ({kinds})" if found else "no findings"
    out.print(f"{result} in {rows} of {counted(len(tables), 'table')}")


def _print_json(tables: Sequence[Table], findings: Sequence[Finding]) -> None:
    from piebench_eval.lint.check import faults

    found = faults(findings)
    out.print_json(
        data={
            "findings": [one.as_json() for one in found],
            "notes": [one.as_json() for one in findings if one not in found],
            "tables": [
                {
                    "title": table.title,
                    "rows": len(table.rows),
                    "columns": {column.key: column.heading for column in table.columns.values()},
                    "remarks": list(table.remarks),
                }
                for table in tables
            ],
        }
    )
