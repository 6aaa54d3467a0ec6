"""``piebench table``: Table 1 from scores."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.cli.console import DEMO_NOTICE, err, out
from piebench_eval.demo.embedded import DEMO

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


class Format(StrEnum):
    """How a table is printed."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"
    json = "json"


def table(
    scores: Annotated[Path, typer.Argument(help="Run folder, or a scores file.", show_default=False)],
    compare_paper: Annotated[
        bool, typer.Option("--compare-paper", help="Set the published numbers beside the measured ones.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
) -> None:
    """Print the mean scores of each combination in Table 1's rows and units.

    A run folder also gets the means as table.csv.

    Examples:

      piebench table runs/x --compare-paper

      piebench table my-method.csv --format latex > table.tex
    """
    print_table(scores, compare_paper, output)


def print_table(scores: Path, compare_paper: bool = False, output: Format = Format.table) -> None:
    """Print the means of a run folder or scores file; a run folder also gets them as table.csv."""
    from piebench_eval.files import write_whole
    from piebench_eval.runs.scoring import provenance_file
    from piebench_eval.runs.store import SCORES_FILE, TABLE_FILE
    from piebench_eval.tables.aggregate import aggregate, label_columns, left_out, read_scores
    from piebench_eval.tables.compare import compare_with_paper, is_of_demo, read_about
    from piebench_eval.tables.formats import to_text
    from piebench_eval.tables.layout import METRICS

    file = scores / SCORES_FILE if scores.is_dir() else scores
    about = read_about(provenance_file(file))
    means = aggregate(read_scores(file))
    labels = label_columns(means)
    remarks = left_out(means)
    if is_of_demo(about):
        # A label in the rows themselves goes wherever the table is copied to.
        means.insert(0, "model", DEMO)
        labels = ["model", *labels]
        remarks = [DEMO_NOTICE, *remarks]
    if scores.is_dir():
        write_whole(scores / TABLE_FILE, to_text(means, "csv").encode())
    shown = means[[*labels, "images", *(metric.key for metric in METRICS)]]
    if compare_paper:
        comparison = compare_with_paper(means, about)
        shown = comparison.table
        remarks += [*comparison.obstacles, *comparison.remarks]
    if output is Format.csv:
        for remark in remarks:
            err.print(f"- {remark}", markup=False)
    if output is not Format.table:
        typer.echo(to_text(shown, output.value, remarks), nl=False)
        return
    _print(shown, labels, remarks)


def _print(shown: pd.DataFrame, labels: Sequence[str], remarks: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    from piebench_eval.tables.formats import cell
    from piebench_eval.tables.layout import METRICS

    titles = {metric.key: metric.title for metric in METRICS}
    titles["difference"] = "diff."
    grid = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False)
    for column in shown.columns:
        number = column not in (*labels, "metric", "verdict")
        grid.add_column(titles.get(column, column), justify="right" if number else "left", no_wrap=True)
    previous = None
    for row in shown.itertuples(index=False):
        combination = row[: len(labels)]
        if previous not in (None, combination) and "metric" in shown.columns:
            grid.add_section()
        previous = combination
        grid.add_row(*(escape(titles.get(str(value), cell(value)).replace("\n", " ")) for value in row))
    # A cell is never cut short: what does not fit an 80-column terminal is left to the terminal to wrap.
    out.width = max(out.width, Measurement.get(out, out.options.update(max_width=10_000), grid).maximum)
    out.print(grid, crop=False)
    for remark in remarks:
        out.print(f"- {remark}", markup=False)
