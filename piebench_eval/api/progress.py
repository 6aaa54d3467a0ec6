"""Progress bars, in a terminal or a notebook."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

err = Console(highlight=False, emoji=False, markup=False, soft_wrap=True, stderr=True)
"""Standard error: where bars are, and whatever is printed while they last.

Brackets in what is printed are brackets: paths and prompts have them. Styles are given as such.
"""


def progress_bar() -> Progress:
    """A bar with count, elapsed time and time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(),
        console=err,
    )


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
