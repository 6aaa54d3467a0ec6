"""``piebench data``: checking and making benchmark folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.cli.console import out
from piebench_eval.errors import PiebenchError

app = typer.Typer(help="Check benchmark folders, or draw one.", no_args_is_help=True)


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


@app.command()
def demo(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder to write.", show_default=False)],
    per_type: Annotated[int, typer.Option(min=1, help="Samples of each of the ten editing types.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Which scenes to draw.")] = 0,
) -> None:
    """Draw a benchmark of simple scenes in the official layout, with the ideal edit of each beside it.

    Example:

      piebench data demo --out demo-bench --per-type 10
    """
    from piebench_eval.bench.pie_bench import MAPPING_FILE, load_pie_bench
    from piebench_eval.demo.benchmark import IDEAL_FOLDER, write_benchmark

    if (out_folder / MAPPING_FILE).exists():
        raise PiebenchError(f"--out {out_folder}: holds a benchmark already; name another folder")
    samples = load_pie_bench(write_benchmark(out_folder, per_type, seed))
    out.print(f"{len(samples)} samples in {out_folder}, ideal edits in {IDEAL_FOLDER}/", markup=False)
