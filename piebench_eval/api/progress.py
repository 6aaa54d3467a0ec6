"""Progress: bars in a terminal or a notebook, a line a minute elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from piebench_eval.api.bars import Bars
    from piebench_eval.runs.execute import Progress

err = Console(highlight=False, emoji=False, markup=False, soft_wrap=True, stderr=True)
"""Standard error: where bars are, and whatever is printed while they last.

Brackets in what is printed are brackets: paths and prompts have them. Styles are given as such.
"""


def progress_bar() -> Bars:
    """Bars with count, elapsed time and time left; where there is no terminal to draw them, lines."""
    from piebench_eval.api.bars import Bars, Lines

    draws = err.is_jupyter or (err.file.isatty() and not err.is_dumb_terminal)
    return Bars(err) if draws else Lines(err)


@contextmanager
def shown_progress(wanted: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far work is, as long as the context lasts.

    Args:
        wanted: if not, nothing is shown.

    Yields:
        What is to be told: what is being done, how much of it is done, and of how much.
    """
    if not wanted:
        yield lambda label, done, total: None
        return
    with progress_bar() as bar:
        task, current = bar.add_task("", total=None), ""

        def tell(label: str, done: int, total: int) -> None:
            nonlocal current
            if label != current:  # what comes next has a pace of its own
                bar.reset(task, description=label)
                current = label
            bar.update(task, completed=done, total=total)

        yield tell


@contextmanager
def shown_run(wanted: bool = True) -> Iterator[Callable[[Progress], None]]:
    """Show how far a run is, as long as the context lasts.

    Args:
        wanted: if not, nothing is shown.

    Yields:
        What is to be told of the run's progress.
    """
    if not wanted:
        yield lambda progress: None
        return
    with progress_bar() as bar:
        task = bar.add_task("looking what is there", total=None)

        def tell(progress: Progress) -> None:
            failed = f" ({progress.failed} failed)" if progress.failed else ""
            bar.foretell(task, progress.per_minute, progress.seconds_left)
            bar.update(
                task, total=progress.total, completed=progress.done, description=progress.label + failed
            )

        yield tell
