"""``piebench data``: looking at benchmark folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import out

app = typer.Typer(help="Look at benchmark folders.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Commands on benchmark folders."""


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(help="Benchmark folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Check a benchmark folder: every problem is listed with file, id, field and remedy; exit code 2 if any.

    Example:

      piebench data validate PIE-Bench_v1
    """
    from rich.table import Table

    from piebench_eval.bench.pie_bench import load_pie_bench
    from piebench_eval.bench.summary import summarise

    summaries = summarise(load_pie_bench(folder))
    if as_json:
        out.print_json(data=[asdict(summary) for summary in summaries])
        return
    grid = Table()
    for title in ("type", "images", "mask covers", "full masks", "empty masks"):
        grid.add_column(title, justify="left" if title == "type" else "right")
    for summary in summaries:
        grid.add_row(
            f"{summary.type_id} {summary.name}",
            str(summary.images),
            f"{summary.mean_mask_share:.1%}",
            str(summary.full_masks),
            str(summary.empty_masks),
        )
    out.print(grid)
    out.print(f"{sum(summary.images for summary in summaries)} samples, no problem found.")
