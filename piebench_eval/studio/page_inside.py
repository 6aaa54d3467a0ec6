"""The page's section that looks inside an edit: what lies where, and what it follows."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 (Gradio reads annotations at run time)
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from piebench_eval.studio.inside import reconstructed
from piebench_eval.studio.inside_html import CSS, framed_html, inside_html, reconstruction_html
from piebench_eval.studio.session import Made  # noqa: TC001 (likewise)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.studio.worker import Worker


class InsidePanel:
    """The section, which follows the edit that is looked at.

    Args:
        worker: takes source branches to their ends.
        gallery: the source and the edits; which of them is looked at.
        made: the edits, in a ``gr.State``.
    """

    def __init__(self, worker: Worker, gallery: gr.Gallery, made: gr.State):
        self._worker = worker
        with gr.Accordion("Look inside", open=False, visible=False, elem_id="inside") as section:
            self._choice = gr.Dropdown([], label="Edit", interactive=True)
            self._parts = gr.HTML(css_template=CSS)
            self._ask = gr.Button("Reconstruct", visible=False, elem_id="reconstruct")
            self._end = gr.HTML(css_template=CSS)
        shown = [section, self._choice, self._parts, self._ask, self._end]
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        made.change(lambda edits: _shown(edits, len(edits) - 1), made, shown, **quiet)
        gallery.select(_on_select, made, shown, **quiet)
        self._choice.input(_on_choice, [made, self._choice], shown, **quiet)
        self._ask.click(
            self._on_ask, [made, self._choice], [self._ask, self._end], concurrency_limit=None, **quiet
        )

    def _on_ask(self, made: tuple[Made, ...], choice: int | None) -> Iterator[list[Any]]:
        if choice is None or choice >= len(made):
            return
        edit = made[choice]
        waiting = f'<p role="status">The source branch of {escape(edit.name)} is sampled …</p>'
        for state in reconstructed(self._worker, edit):
            if state is None:
                yield [gr.Button(interactive=False), waiting]
            elif isinstance(state, str):
                yield [gr.Button(interactive=True), f'<p role="alert">{escape(state)}</p>']
            else:
                yield [gr.Button(visible=False), framed_html(edit, reconstruction_html(state))]


def _on_select(made: tuple[Made, ...], event: gr.SelectData) -> list[Any]:
    return _shown(made, int(event.index) - 1)


def _on_choice(made: tuple[Made, ...], choice: int) -> list[Any]:
    return _shown(made, choice)


def _shown(made: Sequence[Made], place: int) -> list[Any]:
    """Section, choice, parts, button and its result for an edit by its place.

    Without edits the section is hidden; a place of none, the source's, changes nothing.
    """
    if not made:
        return [gr.Accordion(visible=False), *[gr.skip()] * 4]
    if not 0 <= place < len(made):
        return [gr.skip()] * 5
    edit = made[place]
    choices = [(each.name, number) for number, each in enumerate(made)]
    can_ask = edit.reconstruct is not None and edit.inside.reconstruction is None
    return [
        gr.Accordion(visible=True),
        gr.Dropdown(choices=choices, value=place),
        inside_html(edit),
        gr.Button("Sample the source branch to its end", visible=can_ask, interactive=True),
        "",
    ]
