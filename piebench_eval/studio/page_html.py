"""Parts of the page in HTML: progress of edits, their scores, and messages. All texts are escaped."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from piebench_eval.api.duration import duration
from piebench_eval.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.studio.progress import EditProgress
    from piebench_eval.studio.session import Made


def message_html(text: str, is_problem: bool = False) -> str:
    """A message to the user, a line for each of its own.

    >>> message_html("a < b")
    '<p role="status">a &lt; b</p>'
    """
    role = "alert" if is_problem else "status"
    return "".join(f'<p role="{role}">{escape(line)}</p>' for line in text.splitlines() if line.strip())


def progress_html(
    names: Sequence[str], states: Mapping[int, EditProgress | str], waiting_behind: int = 0
) -> str:
    """A bar for each edit, with the time that it still needs, or what has become of it.

    Args:
        names: the edits.
        states: how far each is, by its place, or its end in words; missing where it has not begun.
        waiting_behind: how many requests come first, the loading of the model among them.
    """
    rows = [_row(name, states.get(place)) for place, name in enumerate(names)]
    before = "1 request" if waiting_behind == 1 else f"{waiting_behind} requests"
    waiting = f'<p role="status">Waiting for {before} before this one</p>' if waiting_behind else ""
    return f'{waiting}<ul class="edits">{"".join(rows)}</ul>'


def _row(name: str, state: EditProgress | str | None) -> str:
    label = f"<span>{escape(name)}</span>"
    if isinstance(state, str):
        return f"<li>{label}<span>{escape(state)}</span></li>"
    if state is None:
        return f"<li>{label}<span>waits</span></li>"
    left = state.seconds_left
    when = "" if left is None else f"{duration(left)} left"
    value = f' value="{state.share:.3f}"' if state.total else ""
    bar = f'<progress max="1"{value} aria-label="{escape(name)}"></progress>'
    return f"<li>{label}{bar}<span>{when}</span></li>"


def scores_html(made: Sequence[Made]) -> str:
    """A table of the edits' scores in the units of tables, and their notes."""
    if not made:
        return ""
    columns = list(dict.fromkeys(column for edit in made for column in edit.scores))
    heads = "".join(f"<th>{escape(_title(column))}</th>" for column in columns)
    rows = "".join(
        f"<tr><th>{escape(edit.name)}</th>{''.join(_cell(edit, column) for column in columns)}"
        f"<td>{edit.seconds:.1f} s</td></tr>"
        for edit in made
    )
    notes = dict.fromkeys(f"{edit.name}: {note}" for edit in made for note in edit.notes)
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    table = f'<table class="scores"><thead><tr><th></th>{heads}<th>time</th></tr></thead>{rows}</table>'
    return f'<div class="wide">{table}</div>' + (f"<ul>{listed}</ul>" if notes else "")


def _title(column: str) -> str:
    metric = METRICS.get(column)
    arrow = "↑" if metric.better == "higher" else "↓"
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{metric.title}{unit} {arrow}"


def _cell(edit: Made, column: str) -> str:
    score = edit.scores.get(column, math.nan) * METRICS.get(column).scale
    return f"<td>{'–' if math.isnan(score) else f'{score:.2f}'}</td>"
