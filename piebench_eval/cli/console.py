"""What all commands share: consoles, warnings, and an end that loses nothing."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from piebench_eval.api.progress import err

if TYPE_CHECKING:
    from collections.abc import Iterator

# A pipe has no width of its own: wide enough for every table. Brackets are brackets, as for ``err``.
out = Console(
    highlight=False,
    emoji=False,
    markup=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else 120,
)


def print_entry(name: str, about: str) -> None:
    """A line that begins with a name in bold."""
    out.print(name, style="bold", end="")
    out.print(f": {about}")


def next_command(*arguments: object) -> str:
    """A ``piebench`` command as a shell takes it, whatever paths it has.

    >>> next_command("score", "my runs/x")
    "piebench score 'my runs/x'"
    """
    return shlex.join(["piebench", *map(str, arguments)])


def print_warning(text: str) -> None:
    """A line on the error console that does not end the command."""
    err.print("warning: ", style="yellow", end="")
    err.print(text, markup=False)


@contextmanager
def kept_on_interrupt(
    what: str = "what is scored is kept: run the same command again to go on",
) -> Iterator[None]:
    """End a command that is interrupted with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"stopped; {what}", markup=False)
        raise typer.Exit(130) from None
