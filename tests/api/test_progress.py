"""Bars and lines, in simulated time."""

import io

import pytest
from rich.console import Console

from piebench_eval.api import bars, progress
from piebench_eval.api.bars import Bars, Lines


class Clock:
    time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def console():
    return Console(file=io.StringIO(), soft_wrap=True)


def shown(bar, task):
    (column,) = [column for column in bar.columns if isinstance(column, bars._TimeLeftColumn)]
    column.max_refresh = None
    return column(bar.tasks[task]).plain


def test_blocks_of_8_every_40_seconds_are_timed_by_blocks(clock, console):
    bar = Bars(console, clock)
    task = bar.add_task("scoring", total=None)
    bar.update(task, completed=0, total=560)
    assert shown(bar, task) == "-:--:--"
    for block in range(1, 4):
        clock.time += 40
        bar.update(task, completed=8 * block)
        assert shown(bar, task) == str(bars.timedelta(seconds=40 * (70 - block)))
    clock.time += 30
    assert shown(bar, task) == str(bars.timedelta(seconds=40 * 67 - 30))


def test_what_was_there_before_is_no_work(clock, console):
    bar = Bars(console, clock)
    task = bar.add_task("editing", total=None)
    bar.update(task, completed=400, total=416)
    clock.time += 40
    bar.update(task, completed=408)
    assert shown(bar, task) == "0:00:40"


def test_what_should_have_been_finished_is_not_foretold(clock, console):
    bar = Bars(console, clock)
    task = bar.add_task("editing", total=16)
    bar.set_estimate(task, 12.0, 40.0)
    clock.time += 39
    assert shown(bar, task) == "0:00:01"
    clock.time += 2
    assert shown(bar, task) == "-:--:--"


def test_a_line_tells_done_total_rate_left_and_the_last_message(clock, console):
    lines = Lines(console, clock)
    assert lines.line() == "nothing is finished yet"
    task = lines.add_task("looking", total=None)
    lines.update(task, total=568, completed=8, description="direct+p2p 000\x1b[31m7")
    assert lines.line() == "8 of 568 done, time left unknown yet; last: direct+p2p 000?[31m7"
    lines.set_estimate(task, 12.0, 2800.0)
    clock.time += 40
    assert lines.line() == "8 of 568 done, 12 per minute, about 46 min left; last: direct+p2p 000?[31m7"


def test_a_line_is_printed_every_minute_and_only_then(monkeypatch, console):
    waits = []

    class Ended:
        def wait(self, seconds):
            waits.append(seconds)
            return len(waits) > 2

        def set(self):
            pass

    lines = Lines(console)
    monkeypatch.setattr(lines, "_ended", Ended())
    lines._print_on()
    printed = console.file.getvalue().splitlines()
    assert waits == [60.0] * 3 and len(printed) == 2
    assert all(line.endswith("nothing is finished yet") for line in printed)


def test_where_there_is_no_terminal_there_are_lines(capsys, monkeypatch):
    monkeypatch.setattr(bars, "LINE_SECONDS", 0.01)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.shown_progress() as tell:
        tell("scoring [a]", 3, 9)
        bars.time.sleep(0.3)
    printed = capsys.readouterr().err
    assert "3 of 9 done, time left unknown yet; last: scoring [a]\n" in printed
    assert "\x1b" not in printed and "\r" not in printed
