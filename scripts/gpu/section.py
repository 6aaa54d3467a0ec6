"""Sections of a check, each in a process with a time limit."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).parents[2]
TAIL_LINES = 60
_SECONDS_TO_TELL = 3.0

Status = Literal["passed", "failed", "timed out", "skipped", "not run", "to come"]
WRONG: tuple[Status, ...] = ("failed", "timed out", "not run", "to come")
"""What ends a check in exit code 1: what was not seen to work is not taken to work."""


@dataclass(frozen=True)
class Told:
    """What a section's files say, finished or not.

    Attributes:
        markdown: for people.
        data: for JSON.
        skipped: why nothing was tried, if so.
        remark: what else belongs beside the result, in a line.
    """

    markdown: str = ""
    data: Any = None
    skipped: str = ""
    remark: str = ""


def nothing_told(folder: Path) -> Told:
    """Of a section that writes no files."""
    return Told()


@dataclass(frozen=True)
class Section:
    """One part of a check.

    Attributes:
        name: short, for tables.
        title: what it looks at.
        command: of its process; in it and in the variables, ``{folder}`` stands for the folder of its files.
        seconds: how long it may take.
        tell: reads those files.
        environment: further variables.
        essential: whether the others make no sense without it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    seconds: float
    tell: Callable[[Path], Told] = nothing_told
    environment: Mapping[str, str] = field(default_factory=dict)
    essential: bool = False


@dataclass(frozen=True)
class Result:
    """What became of a section.

    Attributes:
        section: which.
        status: how it ended.
        seconds: that it took.
        limit: seconds that it had.
        told: what it has found out.
        tail: the end of what it printed; its Python stack, if it ran out of time.
        reason: why it did not pass, or what else is to be known of it, in a line.
    """

    section: Section
    status: Status
    seconds: float = 0.0
    limit: float = 0.0
    told: Told = field(default_factory=Told)
    tail: str = ""
    reason: str = ""


def run_section(section: Section, folder: Path, limit: float) -> Result:
    """Run a section's process, and end it with all that it has started when its time is up.

    Args:
        section: what to run.
        folder: for its files; it is made.
        limit: seconds that it may take.
    """
    folder.mkdir(parents=True)
    output = folder / "output.txt"
    started = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [part.replace("{folder}", str(folder)) for part in section.command],
            stdout=stream,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=REPOSITORY,
            env=_environment(section, folder),
            start_new_session=True,
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    seconds = time.monotonic() - started
    try:
        told = section.tell(folder)
    except (OSError, ValueError, KeyError) as error:  # a file that was not finished
        told = Told(f"what it has written cannot be read: {type(error).__name__}: {error}")
    status, reason = _verdict(code, limit, told)
    tail = _tail(output) if status in WRONG else ""
    return Result(section, status, seconds, limit, told, tail, reason)


def _verdict(code: int | None, limit: float, told: Told) -> tuple[Status, str]:
    if code is None:
        return "timed out", f"not finished after {limit:.0f} s"
    if code < 0:
        return "failed", f"killed by {signal.Signals(-code).name}"
    if code > 0:
        return "failed", f"exit code {code}"
    return ("skipped", told.skipped) if told.skipped else ("passed", told.remark)


def _environment(section: Section, folder: Path) -> dict[str, str]:
    """This process's variables, and those by which the repository is found and a stack can be asked for."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    own = {"PYTHONPATH": path, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}
    further = {name: value.replace("{folder}", str(folder)) for name, value in section.environment.items()}
    return {**os.environ, **own, **further}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children; one that hangs is first asked where."""
    if process.poll() is None:
        _signal(process, signal.SIGABRT)  # Python's fault handler prints the stack
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_TELL)
    _signal(process, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # a call that hangs in a driver cannot be ended
        process.wait(_SECONDS_TO_TELL)


def _signal(process: subprocess.Popen[bytes], which: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, which)


def _tail(output: Path) -> str:
    with output.open(errors="replace") as stream:
        return "".join(deque(stream, TAIL_LINES)).rstrip()


def python(*arguments: str) -> tuple[str, ...]:
    """A command for this Python."""
    return (sys.executable, *arguments)
