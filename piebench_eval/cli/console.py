"""Output of all commands: console, warnings, and the message on Ctrl-C."""

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

# A pipe has no width: wide enough for every table. No markup, as for ``err``: paths have brackets.
out = Console(
    highlight=False,
    emoji=False,
    markup=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else 120,
)


def print_entry(name: str, about: str) -> None:
    """Print a line that starts with a name in bold."""
    out.print(name, style="bold", end="")
    out.print(f": {about}")


def next_command(*arguments: object) -> str:
    """A ``piebench`` command line, quoted for the shell.

    >>> next_command("score", "my runs/x")
    "piebench score 'my runs/x'"
    """
    return shlex.join(["piebench", *map(str, arguments)])


def counted(number: int, what: str) -> str:
    """A number of things in words.

    >>> counted(1, "sample"), counted(2, "sample")
    ('1 sample', '2 samples')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def print_warning(text: str) -> None:
    """Print a warning on standard error."""
    err.print("warning: ", style="yellow", end="")
    err.print(text, markup=False)


@contextmanager
def kept_on_interrupt(
    what: str = "what is scored is kept: run the same command again to resume",
) -> Iterator[None]:
    """On Ctrl-C, end the command with exit code 130 and a line that says how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"stopped; {what}", markup=False)
        raise typer.Exit(130) from None
