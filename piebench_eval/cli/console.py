"""What all commands share: consoles, lists in options, progress bars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console

from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from rich.progress import Progress

# A pipe has no width of its own: wide enough for every table.
out = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
err = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)

DEMO_NOTICE = (
    "Demo model: a small network trained on drawn shapes. Its numbers show how the harness works and say "
    "nothing about Stable Diffusion."
)


def split_list(text: str | None) -> list[str] | None:
    """Split a comma-separated option; None stays None.

    >>> split_list("0, 1,8")
    ['0', '1', '8']
    """
    if text is None:
        return None
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise PiebenchError(f"{text!r} is an empty list; write names with commas between them")
    return items


def duration(seconds: float) -> str:
    """Write a time for people.

    >>> duration(45), duration(600), duration(50_000)
    ('45 s', '10 min', '13 h 53 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def print_warning(text: str) -> None:
    """A line on the error console that does not end the command."""
    err.print("warning: ", style="yellow", end="")
    err.print(text, markup=False)


def progress_bar() -> Progress:
    """A bar with count, elapsed time and time left, on the error console."""
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
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
    )
