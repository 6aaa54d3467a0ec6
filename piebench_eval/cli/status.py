"""``piebench status``: how far a run is."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import out, print_warning
from piebench_eval.cli.scoring_options import MovedDataOption
from piebench_eval.combination_names import combination_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from piebench_eval.runs.status import Status

_SHOWN_FAILURES = 5


def status(
    folder: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    data: MovedDataOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until nothing is missing.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check every image against the checksum in its record.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.2, help="Seconds between updates of --watch.")] = 5.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print as JSON, with the traceback of every failure.")
    ] = False,
) -> None:
    """Show how far a run is: done, failed and missing edits, pace and time left.

    It only reads, on any machine that sees the folder, also while workers write to it.

    Examples:

      piebench status runs/table1 --watch

      piebench status runs/table1 --verify --json
    """
    from piebench_eval.runs.status import status_of_run
    from piebench_eval.runs.store.dataset import dataset_of_run
    from piebench_eval.runs.store.folder import RunStore

    store = RunStore.read(folder)
    _, samples = dataset_of_run(store, data)
    found = status_of_run(store, samples, verify)
    if as_json:
        out.print_json(data=asdict(found))
        return
    if watch:
        found = _watch(found, lambda: status_of_run(store, samples), seconds)
    else:
        out.print(_render(found))
    _print_problems(found)


def _watch(found: Status, read: Callable[[], Status], seconds: float) -> Status:
    """Show a status that is read again every so many seconds, until nothing is missing; return the last."""
    from rich.live import Live

    try:
        with Live(_render(found), console=out, auto_refresh=False) as live:
            while found.missing:
                time.sleep(seconds)
                found = read()
                live.update(_render(found), refresh=True)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    return found


def _print_problems(found: Status) -> None:
    """Print damage and the first failed edits."""
    for problem in found.problems:
        print_warning(problem)
    for failure in found.failures[:_SHOWN_FAILURES]:
        key = f"{combination_name(failure['inversion'], failure['method'])} {failure['sample']}"
        print_warning(f"{key} failed: {failure['error']}")
    if len(found.failures) > _SHOWN_FAILURES:
        out.print(f"... and {len(found.failures) - _SHOWN_FAILURES} more failed; --json lists them all.")
    if found.failures:
        out.print("Make them again: the same piebench run with --retry-failed")


def _render(found: Status) -> RenderableType:
    """A table with a row per combination, their sums, and the pace."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_footer=len(found.parts) > 1)
    grid.add_column("combination", "all")
    for title in ("done", "failed", "missing"):
        grid.add_column(title, str(sum(getattr(part, title) for part in found.parts)), justify="right")
    for part in found.parts:
        grid.add_row(part.combination, str(part.done), str(part.failed), str(part.missing))
    pace = "" if found.per_minute is None else f"{found.per_minute:.3g} edits per minute. "
    failed = sum(part.failed for part in found.parts)
    if not found.missing:
        left = f"Nothing is waiting, but {failed} failed." if failed else "Nothing is missing."
    elif found.seconds_left is not None:
        left = f"About {duration(found.seconds_left)} left."
    else:
        left = f"No edit was finished lately; the last: {found.newest or 'none'}."
    return Group(grid, pace + left)
