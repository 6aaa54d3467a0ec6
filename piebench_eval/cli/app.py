"""The ``piebench`` command and its error handling."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from piebench_eval.cli import (
    check,
    data,
    demo,
    explain,
    leaderboard,
    lint,
    methods,
    metrics,
    pack,
    push,
    report,
    run,
    score,
    status,
    studio,
    sweep,
    table,
    verify,
)
from piebench_eval.cli.console import err, out, print_warning
from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.version import __version__


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print PiebenchWarnings as plain lines, without Python's file and line number."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PiebenchWarning)
        show_others = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, PiebenchWarning):
                print_warning(str(message))
            else:
                show_others(message, category, *where, **more)

        warnings.showwarning = show
        yield


_JSON = "piebench_eval.json"
# From click, or from the copy of click in newer versions of typer.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def _print_error(ctx: typer.Context, text: str) -> None:
    """Print an error: as a line, or with ``--json`` as JSON on standard output."""
    if ctx.meta[_JSON]:
        out.print_json(data={"error": text})
        return
    err.print("error: ", style="bold red", end="")
    err.print(text, markup=False)


class _Group(TyperGroup):
    """Ends a command that raises a PiebenchError with message and exit code, without a traceback."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Note whether the output is JSON."""
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            with _plain_warnings():
                return super().invoke(ctx)
        except PiebenchError as error:
            _print_error(ctx, str(error))
            raise typer.Exit(error.exit_code) from None
        except _UsageError as error:
            if not ctx.meta[_JSON]:
                raise
            _print_error(ctx, str(error))
            raise typer.Exit(PiebenchError.exit_code) from None
        except OSError as error:
            if error.filename is None:
                raise
            # A name too long for any file, a folder that may not be read, a full disk.
            _print_error(ctx, f"{error.filename}: {error.strerror}; choose another place, or allow it")
            raise typer.Exit(PiebenchError.exit_code) from None


app = typer.Typer(
    name="piebench",
    cls=_Group,
    help=(
        "Run, score and tabulate PIE-Bench: text-guided editing of real images.\n\n"
        "Try it in minutes, without data, weights or GPU:  piebench demo\n\n"
        "From a benchmark folder to edited images, scores and the paper's Table 1:\n\n"
        "  piebench run --data PIE-Bench_v1 --model CompVis/stable-diffusion-v1-4 "
        "--inversion direct --method p2p --out runs/x\n\n"
        "  piebench score runs/x\n\n"
        "  piebench table runs/x --compare-paper"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("score")(score.score)
app.command("table")(table.table)
app.command("report")(report.report)
app.command("studio")(studio.studio)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("check")(check.check)
app.command("sweep")(sweep.sweep)
app.command("pack")(pack.pack)
app.command("verify")(verify.verify)
app.command("push")(push.push)
app.command("explain")(explain.explain)
app.command("lint")(lint.lint)
app.command("methods")(methods.methods)
app.command("metrics")(metrics.metrics)
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
    """Global options."""


def main() -> None:
    """Run the command line."""
    # Model loaders draw one bar per component.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app()


if __name__ == "__main__":
    main()
