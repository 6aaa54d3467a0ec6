"""The ``piebench`` command."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from piebench_eval import __version__
from piebench_eval.cli import data, methods, run, score, table
from piebench_eval.cli.console import err
from piebench_eval.errors import PiebenchError

app = typer.Typer(
    name="piebench",
    help=(
        "Run, score and tabulate PIE-Bench: text-guided editing of real images.\n\n"
        "A benchmark folder goes in; edited images, scores and the paper's Table 1 come out:\n\n"
        "  piebench run --data PIE-Bench_v1 --model CompVis/stable-diffusion-v1-4 "
        "--inversion direct --method p2p --out runs/x\n\n"
        "  piebench score runs/x\n\n"
        "  piebench table runs/x --compare-paper"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("score")(score.score)
app.command("table")(table.table)
app.command("methods")(methods.methods)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"piebench-eval {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line; a user's mistake ends it with a message and exit code, not a traceback."""
    # The models' loaders draw bars of their own, one per component.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except PiebenchError as error:
        err.print("error: ", style="bold red", end="")
        err.print(str(error), markup=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
