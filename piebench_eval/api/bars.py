"""Displays of progress with a time left that suits batches: bars for a terminal, or lines for a log."""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from piebench_eval.api.duration import duration
from piebench_eval.runs.estimates.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Task, TaskID

LINE_SECONDS = 60.0
"""Seconds between lines where no bar can be drawn."""


class ProgressDisplay(Progress):
    """Tasks with their pace and time left; a subclass says how they are shown.

    Work in batches is finished in bursts: the time left is estimated at the newest burst and counted down. A
    better estimate is given by ``set_estimate``.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console, clock: Callable[[], float] = time.monotonic
    ):
        """Args: columns: parts of a bar. console: where to print. clock: the current time in seconds."""
        self._clock = clock
        self._paces: dict[TaskID, Pace] = {}
        self._estimates: dict[TaskID, tuple[float, float | None, float | None]] = {}
        super().__init__(*columns, console=console, get_time=clock)

    def reset(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """Restart a task; its pace is measured anew."""
        super().reset(task_id, *args, **fields)
        self._paces.pop(task_id, None)
        self._estimates.pop(task_id, None)

    def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """Note how far a task is; its first update has what was done before."""
        before = self._tasks[task_id].completed
        super().update(task_id, *args, **fields)
        finished = self._tasks[task_id].completed - before
        if task_id not in self._paces:
            self._paces[task_id] = Pace(began=self._clock())
        elif finished > 0:
            self._paces[task_id].add(self._clock(), finished)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Note that more of a task is done."""
        self.update(task_id, advance=advance)

    def set_estimate(self, task_id: TaskID, per_minute: float | None, seconds_left: float | None) -> None:
        """Set the pace of a task and its time left from now on; None for what is unknown."""
        self._estimates[task_id] = self._clock(), per_minute, seconds_left

    def pace(self, task: Task) -> tuple[float | None, float | None]:
        """Work per minute of a task, and the seconds left; None for what is unknown.

        The time left is unknown if the task should have been finished before now.
        """
        if task.id in self._estimates:
            at, per_minute, left = self._estimates[task.id]
        else:
            pace = self._paces.get(task.id, Pace())
            speed, at = pace.per_second(), pace.newest
            per_minute = None if speed is None else speed * 60
            left = None if speed is None or task.remaining is None else task.remaining / speed
        if task.finished or left is None:
            return per_minute, left
        left -= self._clock() - at
        return per_minute, left if left > 0 else None


class Bars(ProgressDisplay):
    """Bars with count, elapsed time and time left."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        """Args: console: where they are drawn. clock: the current time in seconds."""
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            _TimeLeftColumn(self),
            console=console,
            clock=clock,
        )


class _TimeLeftColumn(ProgressColumn):
    """The column of the time left."""

    max_refresh = 0.5

    def __init__(self, display: ProgressDisplay):
        super().__init__()
        self._display = display

    def render(self, task: Task) -> Text:
        """See ``rich.progress.ProgressColumn``."""
        _, left = self._display.pace(task)
        text = "-:--:--" if left is None else str(timedelta(seconds=int(left)))
        return Text(text, style="progress.remaining")


class Lines(ProgressDisplay):
    """A line of plain text a minute, and one at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        """Args: console: where they are printed. clock: the current time in seconds."""
        super().__init__(console=console, clock=clock)
        self._ended = Event()
        self._newest: TaskID | None = None

    def start(self) -> None:
        """Start to print."""
        Thread(target=self._print_on, daemon=True).start()

    def stop(self) -> None:
        """Print a last line, and stop."""
        self._ended.set()
        if self._newest is not None:
            self._print_line()

    def refresh(self) -> None:
        """Do nothing: there is no bar to draw."""

    def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """See ``ProgressDisplay.update``; a line shows the task that was updated last."""
        super().update(task_id, *args, **fields)
        self._newest = task_id

    def line(self) -> str:
        """The line of the newest task: done, total, rate, time left and the last message."""
        task = None if self._newest is None else self._tasks.get(self._newest)
        if task is None:
            return "nothing is finished yet"
        per_minute, left = self.pace(task)
        total = "" if task.total is None else f" of {task.total:.0f}"
        parts = [f"{task.completed:.0f}{total} done"]
        parts += [] if per_minute is None else [f"{per_minute:.3g} per minute"]
        parts.append("time left unknown yet" if left is None else f"about {duration(left)} left")
        message = "".join(letter if letter.isprintable() else "?" for letter in task.description)
        return f"{', '.join(parts)}; last: {message}"

    def _print_on(self) -> None:
        while not self._ended.wait(LINE_SECONDS):
            self._print_line()

    def _print_line(self) -> None:
        self.console.print(f"{time.strftime('%H:%M')} {self.line()}", markup=False)
