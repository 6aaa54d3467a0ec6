"""How progress is shown: rich's bars with a time left that heeds batches, or plain lines."""

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
from piebench_eval.runs.progress.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import Task, TaskID

LINE_SECONDS = 60.0
"""How often a line is printed where no bar can be drawn: a job's log is never silent for longer."""


class Bars(Progress):
    """Bars with count, elapsed time and time left.

    What is finished in batches comes in bursts: the time left is that of the newest burst, counted down. Who
    knows more of what is left gives it by ``foretell``.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        """Args: console: where they are drawn. clock: tells the time in seconds."""
        self._clock = clock
        self._paces: dict[TaskID, Pace] = {}
        self._foretold: dict[TaskID, tuple[float, float | None, float | None]] = {}
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            _TimeLeftColumn(self),
            console=console,
            get_time=clock,
        )

    def reset(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """Begin a task anew: what comes next has a pace of its own."""
        super().reset(task_id, *args, **fields)
        self._paces.pop(task_id, None)
        self._foretold.pop(task_id, None)

    def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """Note how far a task is; what its first update tells was there before."""
        before = self._tasks[task_id].completed
        super().update(task_id, *args, **fields)
        finished = self._tasks[task_id].completed - before
        if task_id not in self._paces:
            self._paces[task_id] = Pace(began=self._clock())
        elif finished > 0:
            self._paces[task_id].add(self._clock(), finished)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Note that so much more of a task is done."""
        self.update(task_id, advance=advance)

    def foretell(self, task_id: TaskID, per_minute: float | None, seconds_left: float | None) -> None:
        """Say how fast a task goes and how long it will take from now on; None for what is unknown."""
        self._foretold[task_id] = self._clock(), per_minute, seconds_left

    def pace(self, task: Task) -> tuple[float | None, float | None]:
        """How much of a task is finished per minute, and the seconds left; None for what is unknown.

        Nobody knows how long work will take that should have been finished before now.
        """
        if task.id in self._foretold:
            at, per_minute, left = self._foretold[task.id]
        else:
            pace = self._paces.get(task.id, Pace())
            speed, at = pace.per_second(), pace.newest
            per_minute = None if speed is None else speed * 60
            left = None if speed is None or task.remaining is None else task.remaining / speed
        if task.finished or left is None:
            return per_minute, left
        left -= self._clock() - at
        return per_minute, left if left > 0 else None


class _TimeLeftColumn(ProgressColumn):
    """The time left."""

    max_refresh = 0.5

    def __init__(self, bars: Bars):
        super().__init__()
        self._bars = bars

    def render(self, task: Task) -> Text:
        """See ``rich.progress.ProgressColumn``."""
        _, left = self._bars.pace(task)
        text = "-:--:--" if left is None else str(timedelta(seconds=int(left)))
        return Text(text, style="progress.remaining")


class Lines(Bars):
    """A line a minute and one at the end instead of bars: plain text, for logs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        """Args: console: where they are printed. clock: tells the time in seconds."""
        super().__init__(console, clock)
        self._ended = Event()
        self._newest: TaskID | None = None

    def start(self) -> None:
        """Begin to print."""
        Thread(target=self._print_on, daemon=True).start()

    def stop(self) -> None:
        """End to print, with how far the work has come."""
        self._ended.set()
        if self._newest is not None:
            self._print_line()

    def refresh(self) -> None:
        """Do nothing: there is no bar to be drawn."""

    def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
        """See ``Bars.update``; lines are of the task that was updated last."""
        super().update(task_id, *args, **fields)
        self._newest = task_id

    def line(self) -> str:
        """How far the newest task is: done, total, rate, left and the last message."""
        task = None if self._newest is None else self._tasks.get(self._newest)
        if task is None:
            return "nothing is finished yet"
        per_minute, left = self.pace(task)
        total = "" if task.total is None else f" of {task.total:.0f}"
        parts = [f"{task.completed:.0f}{total} done"]
        parts += [] if per_minute is None else [f"{per_minute:.3g} per minute"]
        parts.append("time left unknown yet" if left is None else f"about {duration(left)} left")
        said = "".join(letter if letter.isprintable() else "?" for letter in task.description)
        return f"{', '.join(parts)}; last: {said}"

    def _print_on(self) -> None:
        while not self._ended.wait(LINE_SECONDS):
            self._print_line()

    def _print_line(self) -> None:
        self.console.print(f"{time.strftime('%H:%M')} {self.line()}", markup=False)
