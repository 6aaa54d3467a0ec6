"""Show progress: bars in a terminal or a notebook, a line a minute elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from piebench_eval.api.bars import ProgressDisplay
    from piebench_eval.runs.execute import Progress

err = Console(highlight=False, emoji=False, markup=False, soft_wrap=True, stderr=True)
"""The console of standard error: bars, and what is printed while they are shown.

It interprets no markup: paths and prompts have brackets.
"""


def progress_bar() -> ProgressDisplay:
    """Bars with count, elapsed time and time left; where no bar can be drawn, lines."""
    from piebench_eval.api.bars import Bars, Lines

    draws = err.is_jupyter or (err.file.isatty() and not err.is_dumb_terminal)
    return Bars(err) if draws else Lines(err)


@contextmanager
def shown_progress(wanted: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show the progress of some work while the context lasts.

    Args:
        wanted: False shows nothing.

    Yields:
        A function to call with the current step, how much of it is done, and its total.
    """
    if not wanted:
        yield lambda label, done, total: None
        return
    with progress_bar() as bar:
        task, current = bar.add_task("", total=None), ""

        def update(label: str, done: int, total: int) -> None:
            nonlocal current
            if label != current:  # each step has its own pace
                bar.reset(task, description=label)
                current = label
            bar.update(task, completed=done, total=total)

        yield update


@contextmanager
def shown_run(wanted: bool = True) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a run while the context lasts.

    Args:
        wanted: False shows nothing.

    Yields:
        A function to call with the run's progress.
    """
    if not wanted:
        yield lambda progress: None
        return
    with progress_bar() as bar:
        task = bar.add_task("reading the run folder", total=None)

        def update(progress: Progress) -> None:
            failed = f" ({progress.failed} failed)" if progress.failed else ""
            bar.set_estimate(task, progress.per_minute, progress.seconds_left)
            bar.update(
                task, total=progress.total, completed=progress.done, description=progress.label + failed
            )

        yield update
