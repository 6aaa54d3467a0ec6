"""Controls of settings as components of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from piebench_eval.errors import PiebenchError
from piebench_eval.studio.page_html import message_html
from piebench_eval.studio.setup import knobs_of_setup, require_combinations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from piebench_eval.studio.knobs import Knob
    from piebench_eval.studio.session import Studio


def draw_knobs(studio: Studio, chosen: Sequence[str], controls: Mapping[str, Any], moved: gr.State) -> None:
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
        with gr.Accordion(heading, open=heading not in ("all", "quirks")):
            for knob in knobs:
                component = _component(knob, controls.get(knob.name, knob.shown))
                # Gradio passes over the first input of a text field, such as what is pasted into it.
                moves = component.change if knob.is_written else component.input
                moves(
                    _note(knob),
                    [component, moved],
                    moved,
                    show_progress="hidden",
                    trigger_mode="always_last",  # of quick typing, the last letter counts
                    queue=False,
                )


def _note(knob: Knob) -> Callable[[Any, dict[str, Any]], dict[str, Any]]:
    def note(shown: Any, controls: dict[str, Any]) -> dict[str, Any]:
        if shown != knob.shown or knob.name in controls:
            controls[knob.name] = shown  # in place: controls that are moved at once must not undo each other
        return controls

    return note


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
        return gr.Dropdown([*empty, *((str(choice), choice) for choice in knob.choices)], **about)
    if knob.is_written:
        return gr.Textbox(**about)
    whole = knob.kind == "whole"
    if knob.minimum is not None and knob.maximum is not None:
        step = 1 if whole else 0.01
        return gr.Slider(minimum=knob.minimum, maximum=knob.maximum, step=step, **about)
    return gr.Number(minimum=knob.minimum, maximum=knob.maximum, precision=0 if whole else None, **about)
