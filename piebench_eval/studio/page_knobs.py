"""Controls of settings as components of the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import gradio as gr

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.page_html import message_html
from piebench_eval.studio.setup import knobs_of_setup, require_combinations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.studio.knobs import Knob
    from piebench_eval.studio.session import Studio


_TITLES = {"all": "Shared by all"}


def draw_knobs(studio: Studio, chosen: Sequence[str], controls: Mapping[str, Any], moved: gr.JSON) -> None:
    """Draw the controls of all that is chosen.

    Args:
        studio: the model.
        chosen: names of combinations and editors.
        controls: what moved controls show.
        moved: where it is noted that one is moved: by name, what it shows.
    """
    try:
        parts = knobs_of_setup(studio.setup(require_combinations(chosen, studio.combinations)))
    except PiebenchError as error:
        gr.HTML(message_html(str(error), is_problem=True))
        return
    for heading, knobs in parts.items():
        with gr.Accordion(_TITLES.get(heading, heading), open=heading not in ("all", "quirks")):
            for knob in knobs:
                component = _component(knob, controls.get(knob.name, knob.shown))
                # Gradio passes over the first input of a text field, such as what is pasted into it.
                moves = component.change if knob.is_written else component.input
                moves(None, [component, moved], moved, js=_note(knob))


def _note(knob: Knob) -> str:
    """JavaScript that notes what a control shows.

    It stays in the browser: what is asked for next has it, however late the server would have heard of it.
    A number that is typed beside a slider counts within the slider's range, where Gradio puts it in the end.
    """
    name, untouched = json.dumps(knob.name), json.dumps(knob.shown)
    value = f"Math.min(Math.max(shown, {knob.minimum}), {knob.maximum})" if _is_slider(knob) else "shown"
    return (
        f"(shown, controls) => shown === {untouched} && !({name} in controls)"
        f" ? controls : ({{...controls, [{name}]: {value}}})"
    )


def _is_slider(knob: Knob) -> bool:
    is_number = knob.kind in ("whole", "number") and not knob.is_written
    return is_number and knob.minimum is not None and knob.maximum is not None


def _component(knob: Knob, value: Any) -> Any:
    """The component of a control."""
    about: dict[str, Any] = {
        "label": knob.label,
        "info": knob.about,
        "value": value,
        "elem_id": knob.name,
        "interactive": True,
    }
    if knob.kind == "switch":
        return gr.Checkbox(**about)
    if knob.kind == "choice":
        empty = [("", "")] if knob.optional else []
        # The blank behind a name keeps Gradio from translating it, as it would words of its own ("blocks").
        return gr.Dropdown([*empty, *((f"{choice} ", choice) for choice in knob.choices)], **about)
    if knob.is_written:
        return gr.Textbox(**about)
    whole = knob.kind == "whole"
    if _is_slider(knob):
        step = 1 if whole else 0.01
        return gr.Slider(minimum=knob.minimum, maximum=knob.maximum, step=step, **about)
    return gr.Number(minimum=knob.minimum, maximum=knob.maximum, precision=0 if whole else None, **about)
