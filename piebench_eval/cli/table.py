"""``piebench table``: Table 1 from scores."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.api.arguments import names
from piebench_eval.cli.console import err, out
from piebench_eval.cli.grid import print_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.tables.views import View

_SHOW = "What to show (one of them)"


class TableFormat(StrEnum):
    """How a table is printed."""

    table = "table"
    csv = "csv"
    markdown = "markdown"
    latex = "latex"
    json = "json"


_EXACT = (TableFormat.csv, TableFormat.json)
"""Formats for programs: all digits, all metrics."""


def table(
    scores: Annotated[
        list[Path],
        typer.Argument(
            help="Run folder or scores file, or several, combined in one table.",
            show_default=False,
        ),
    ],
    compare_paper: Annotated[
        bool,
        typer.Option(
            "--compare-paper",
            help="Show the published numbers beside the measured ones; with several runs and files, the "
            "paper's rows between theirs.",
            rich_help_panel=_SHOW,
        ),
    ] = False,
    versus: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare every other combination with this one, image by image: mean difference, its 95% "
            "interval, and which is better, where the difference is significant in 20 images or more.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals",
            help="Every mean with its standard error, 95% interval, and number of values.",
            rich_help_panel=_SHOW,
        ),
    ] = False,
    by_type: Annotated[
        bool, typer.Option("--by-type", help="A row per editing type.", rich_help_panel=_SHOW)
    ] = False,
    types: Annotated[
        str | None, typer.Option(help="Editing types that count, such as 1,8, or style; all by default.")
    ] = None,
    output: Annotated[TableFormat, typer.Option("--format", help="How to print it.")] = TableFormat.table,
) -> None:
    """Print the mean scores of each combination in Table 1's rows and units.

    Inversions are grouped by editing method; in each group the best mean of
    each metric is bold and the second best underlined. With --compare-paper, a
    difference is green where the number agrees with the published one, within
    the reproduction tolerance beside it, and red where it differs. A
    column says whether the published number lies inside the run's 95% interval.
    Combinations beyond Table 1 stand beside their own authors' numbers and the
    range of those who ran the method again, where both are known for the model.

    Means follow the averaging rules of the protocol of the scores; intervals
    are bootstrapped over images. A run folder also gets the means, with
    intervals and counts, as table.csv, unless --types, --by-type or --versus
    is given.

    If several runs and files have a combination of the same name, their own
    name is in a column "run" and before the combination's: a/direct+p2p.

    Examples:

      piebench table runs/x --compare-paper

      piebench table runs/x --versus ddim+p2p --types 1,8

      piebench table runs/x --by-type --format csv > by-type.csv

      piebench table my-method.csv --format latex > table.tex

      piebench table runs/a runs/b my-method.csv --versus my-method
    """
    print_table(scores, compare_paper, output, versus, intervals, by_type, names(types))


def print_table(
    scores: Path | Sequence[Path],
    compare_paper: bool = False,
    output: TableFormat = TableFormat.table,
    versus: str | None = None,
    intervals: bool = False,
    by_type: bool = False,
    types: Sequence[str] | None = None,
) -> None:
    """Print a table of run folders and scores files, as the options of ``piebench table`` say.

    A single run folder also gets the means as table.csv, unless the table shows something else.

    Raises:
        PiebenchError: options that exclude each other, or scores that lack what is asked for.
    """
    from piebench_eval.api import tabulating

    tabulating.require_at_most_one(
        {"--compare-paper": compare_paper, "--versus": versus, "--intervals": intervals, "--by-type": by_type}
    )
    paths = [scores] if isinstance(scores, Path) else list(scores)
    score_table = tabulating.load_scores(paths, types)
    exact, several = output in _EXACT, len(paths) > 1
    metrics = score_table.metrics(every=exact)
    view = tabulating.make_view(
        score_table, metrics, compare_paper, versus, intervals, by_type, several, exact
    )
    if not several and paths[0].is_dir() and versus is None and not by_type and types is None:
        tabulating.save_means(paths[0], score_table)
    print_view(view, output, {metric.key: metric.title for metric in metrics})


def print_view(view: View, output: TableFormat, titles: Mapping[str, str]) -> None:
    """Print a table and its remarks.

    Args:
        view: the table.
        output: the format.
        titles: headings of the metrics, by key.
    """
    from piebench_eval.tables.formats.text import to_text

    if output is TableFormat.table:
        print_grid(view.table, titles, view.marks, view.sections)
    else:
        typer.echo(to_text(view.table, output.value, view.remarks, view.marks, view.sections), nl=False)
    if output in (TableFormat.table, TableFormat.csv):  # the other formats include the remarks
        for remark in view.remarks:
            (out if output is TableFormat.table else err).print(f"- {remark}", markup=False)
