"""Parts of the page in HTML: prompts, progress of edits, their scores, messages. All texts are escaped."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from piebench_eval.api.duration import duration
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import CLIP_TARGET, PSNR
from piebench_eval.studio.changed_words import changed_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.studio.changed_words import Marked
    from piebench_eval.studio.progress import EditProgress
    from piebench_eval.studio.session import Made


EMPTY = """<section class="empty"><h2>See what every method makes of one picture</h2><ol>
<li>Take a picture: your own, or a sample of the benchmark</li>
<li>Say what it shows, and what the edit is to show</li>
<li>Choose combinations and press <b>Edit</b></li></ol></section>"""
"""In the place of edits, before there are any."""


def head_html(title: str, model: str) -> str:
    """The page's head, with the name of the model that edits."""
    return (
        f'<header class="head"><h1>{escape(title)}</h1>'
        "<p>One picture, two prompts, all methods side by side</p>"
        f'<span class="chip">model <b>{escape(model)}</b></span></header>'
    )


def message_html(text: str, is_problem: bool = False) -> str:
    """A message to the user, a line for each of its own.

    >>> message_html("a < b")
    '<p role="status">a &lt; b</p>'
    """
    role = "alert" if is_problem else "status"
    return "".join(f'<p role="{role}">{escape(line)}</p>' for line in text.splitlines() if line.strip())


def words_html(source: str, target: str) -> str:
    """Both prompts with the words marked that differ; nothing if one is empty.

    >>> words_html("a cat", "a dog").count("<mark>")
    2
    """
    if not (source.strip() and target.strip()):
        return ""
    rows = (
        f"<dt>{which}</dt><dd>{_marked(parts)}</dd>"
        for which, parts in zip(("source", "target"), changed_words(source, target), strict=True)
    )
    return f'<dl class="words">{"".join(rows)}</dl>'


def _marked(parts: Marked) -> str:
    words = [(escape(text.strip()), label) for text, label in parts]
    return " ".join(f"<mark>{text}</mark>" if label else text for text, label in words)


def share_html(mask: BoolMask | None) -> str:
    """How much of the picture a mask ``[height, width]`` marks, in words.

    >>> share_html(None)
    '<p>Nothing is marked.</p>'
    """
    return f"<p>{'Nothing' if mask is None else f'{mask.mean():.0%} of the picture'} is marked.</p>"


def caption(made: Made) -> str:
    """An edit's name under its picture, with the two scores that say most: how much of the background is
    kept, and how well the edit follows its prompt."""
    scores = {column: _number(made, column) for column in (PSNR, CLIP_TARGET) if column in made.scores}
    said = [f"{METRICS.get(column).title.split()[0]} {number}" for column, number in scores.items()]
    return f"{made.name}\n{' · '.join(said)}"


def progress_html(
    names: Sequence[str],
    states: Mapping[int, EditProgress | str],
    waiting_behind: int = 0,
    model_loads: bool = False,
) -> str:
    """A bar for each edit, with the time that it still needs, or what has become of it.

    Args:
        names: the edits.
        states: how far each is, by its place, or its end in words; missing where it has not begun.
        waiting_behind: how many requests come first, the model's loading among them.
        model_loads: whether the model is being loaded.
    """
    rows = [_row(name, states.get(place)) for place, name in enumerate(names)]
    waiting = f'<p role="status">{_waiting(waiting_behind, model_loads)}</p>' if waiting_behind else ""
    return f'{waiting}<ul class="edits">{"".join(rows)}</ul>'


def _waiting(behind: int, model_loads: bool) -> str:
    """What is waited for.

    >>> _waiting(1, True), _waiting(1, False)
    ('The model is still loading', 'Waiting for 1 request before this one')
    """
    others = behind - model_loads
    before = f"Waiting for {others} request{'' if others == 1 else 's'} before this one" if others else ""
    return ". ".join(filter(None, ["The model is still loading" if model_loads else "", before]))


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
    """A table of the edits' scores in the units of tables, the best of several marked, and their notes."""
    if not made:
        return ""
    columns = list(dict.fromkeys(column for edit in made for column in edit.scores))
    best = {column: _best(made, column) for column in columns} if len(made) > 1 else {}
    heads = "".join(f"<th>{escape(_title(column))}</th>" for column in columns)
    rows = "".join(
        f"<tr><th>{escape(edit.name)}</th>"
        f"{''.join(_cell(edit, column, best.get(column)) for column in columns)}"
        f"<td>{edit.seconds:.1f} s</td></tr>"
        for edit in made
    )
    notes = dict.fromkeys(f"{edit.name}: {note}" for edit in made for note in edit.notes)
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    table = f'<table class="scores"><thead><tr><th></th>{heads}<th>time</th></tr></thead>{rows}</table>'
    return f'<div class="wide">{table}</div>' + (f'<ul class="notes">{listed}</ul>' if notes else "")


def _title(column: str) -> str:
    metric = METRICS.get(column)
    arrow = "↑" if metric.better == "higher" else "↓"
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{metric.title}{unit} {arrow}"


def _best(made: Sequence[Made], column: str) -> str:
    """The best score as it is printed: who ties with it is as good; empty where all edits tie."""
    pick = max if METRICS.get(column).better == "higher" else min
    known = [edit for edit in made if not math.isnan(edit.scores.get(column, math.nan))]
    if len({_number(edit, column) for edit in known}) < 2:
        return ""
    return _number(pick(known, key=lambda edit: edit.scores[column]), column)


def _cell(edit: Made, column: str, best: str | None) -> str:
    number = _number(edit, column)
    return f'<td class="best">{number}</td>' if number == best else f"<td>{number}</td>"


def _number(edit: Made, column: str) -> str:
    score = edit.scores.get(column, math.nan) * METRICS.get(column).scale
    return "–" if math.isnan(score) else f"{score:.2f}"
