"""The page: what lies where, and which action follows on what. Everything else is in ``actions``."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

from collections.abc import Iterator  # noqa: TC003 (Gradio reads annotations at run time)
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.errors import PiebenchError
from piebench_eval.studio import actions
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.changed_words import CHANGED, changed_words
from piebench_eval.studio.page_html import message_html, progress_html, scores_html
from piebench_eval.studio.page_inside import InsidePanel
from piebench_eval.studio.page_knobs import draw_knobs
from piebench_eval.studio.sample_search import ANY_TYPE, search_samples, type_label
from piebench_eval.studio.session import Made  # noqa: TC001 (likewise)
from piebench_eval.studio.sources import Source, Texts

if TYPE_CHECKING:
    from piebench_eval.studio.session import Studio
    from piebench_eval.studio.worker import Request, Worker

TITLE = "piebench studio"
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
"""Fonts of the system: Gradio's own theme asks Google for some."""

CSS = """
ul.edits {list-style: none; padding: 0; margin: 0}
ul.edits li {display: grid; grid-template-columns: minmax(8em, 1fr) 2fr minmax(6em, auto); gap: .75em;
  align-items: center; padding: .2em 0}
ul.edits progress {width: 100%}
.wide {overflow-x: auto}
table.scores {border-collapse: collapse; font-variant-numeric: tabular-nums}
table.scores th, table.scores td {padding: .25em .75em; text-align: right; white-space: nowrap}
table.scores th:first-child {text-align: left}
p[role=alert] {border-left: 4px solid #d33; padding: .3em .8em; margin: .3em 0}
p[role=status] {border-left: 4px solid #38a; padding: .3em .8em; margin: .3em 0}
"""


def build_page(studio: Studio, worker: Worker) -> gr.Blocks:
    """Lay out the page and say what happens on it.

    Args:
        studio: the model and the benchmark.
        worker: makes the edits.
    """
    return _Page(studio, worker).blocks


class _Page:
    """The page's components, and the functions that Gradio calls."""

    def __init__(self, studio: Studio, worker: Worker):
        self._studio, self._worker = studio, worker
        self._requests: dict[str, Request] = {}
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self._source, self._controls = gr.State(None), gr.State({})
            self._restored, self._made = gr.State(0), gr.State(())
            gr.Markdown(f"# {TITLE}\nModel: `{studio.model}`")
            self._message = gr.HTML()
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._lay_out_source()
                    self._lay_out_prompts()
                    self._lay_out_choice()
                with gr.Column(scale=3, min_width=320):
                    self._lay_out_results()
                    InsidePanel(self._worker, self._gallery, self._made)
            self._connect()

    def _lay_out_source(self) -> None:
        self._file = gr.File(
            label="Drop a picture here, or an edit of the studio", type="filepath", height=110
        )
        if self._studio.samples:
            with gr.Accordion("Take a sample of the benchmark", open=True):
                with gr.Row():
                    self._words = gr.Textbox(label="Search", placeholder="id or words", min_width=120)
                    types = [ANY_TYPE, *map(type_label, TYPE_NAMES)]
                    self._type = gr.Dropdown(types, value=ANY_TYPE, label="Editing type", min_width=120)
                self._sample = gr.Dropdown(self._choices("", ANY_TYPE), value=None, label="Sample")
        self._picture = gr.Image(label="Source", interactive=False, height=280, type="filepath", buttons=[])

    def _lay_out_prompts(self) -> None:
        self._source_prompt = gr.Textbox(label="Source prompt", placeholder="describes the picture")
        self._target_prompt = gr.Textbox(label="Target prompt", placeholder="describes the edit")
        marked = {"color_map": {CHANGED: "#d97706"}, "show_inline_category": False, "container": False}
        self._marked = [gr.HighlightedText(label=label, **marked) for label in ("Source", "Target")]
        with gr.Row():
            self._blended = gr.Textbox(label="Blended words", placeholder="cat dog", min_width=120)
            self._instruction = gr.Textbox(label="Instruction", min_width=120)

    def _lay_out_choice(self) -> None:
        self._chosen = gr.Dropdown(
            self._studio.combinations,
            value=self._studio.first_choice,
            multiselect=True,
            label="Combinations and editors",
        )
        with gr.Row():
            self._edit = gr.Button("Edit", variant="primary")
            self._cancel = gr.Button("Cancel")
        with gr.Accordion("Settings", open=False):

            @gr.render(
                inputs=[self._chosen, self._controls],
                triggers=[self._chosen.change, self._restored.change, self.blocks.load],
            )
            def knobs(chosen: list[str], controls: dict[str, Any]) -> None:
                draw_knobs(self._studio, chosen, controls, self._controls)

        with gr.Accordion("Copy as command", open=False):
            self._show_commands = gr.Button("Show the commands for what is set")
            self._command = gr.Textbox(label="Shell", lines=2, elem_id="shell", buttons=["copy"])
            self._python = gr.Textbox(label="Python", lines=3, elem_id="python", buttons=["copy"])

    def _lay_out_results(self) -> None:
        self._progress = gr.HTML()
        self._gallery = gr.Gallery(
            label="Source and edits",
            columns=3,
            format="png",
            height="auto",
            allow_preview=False,
            buttons=[],
            elem_id="edits",
        )
        self._scores = gr.HTML()
        self._slider = gr.ImageSlider(label="Source | edit", interactive=False, buttons=[], format="png")
        self._download = gr.DownloadButton("Download this edit as PNG", interactive=False)

    def _connect(self) -> None:
        texts = [self._source_prompt, self._target_prompt, self._blended, self._instruction]
        shown = [self._source, *texts, self._chosen, self._controls]
        restored = [self._message, *shown, self._picture, self._restored]
        self._file.upload(self._on_upload, [self._file, self._restored, *shown], [*restored, self._file])
        if self._studio.samples:
            for part in (self._words.change, self._type.change):
                part(self._on_search, [self._words, self._type], self._sample, show_progress="hidden")
            taken = [self._message, self._source, *texts, self._picture]
            self._sample.input(self._on_sample, self._sample, taken)
        for prompt in (self._source_prompt, self._target_prompt):
            prompt.change(
                lambda *prompts: list(changed_words(*prompts)),
                [self._source_prompt, self._target_prompt],
                self._marked,
                show_progress="hidden",
            )
        results = [self._message, self._progress, self._gallery, self._scores, self._made]
        self._edit.click(
            self._on_edit,
            shown,
            [*results, self._slider, self._download],
            concurrency_limit=None,  # the worker has the queue
            trigger_mode="multiple",  # who asks again withdraws the edits before
            show_progress="hidden",
        )
        self._cancel.click(self._on_cancel, None, None, concurrency_limit=None, queue=False)
        self._gallery.select(self._on_select, self._made, [self._slider, self._download])
        self._show_commands.click(self._on_commands, shown, [self._message, self._command, self._python])
        self.blocks.unload(self._on_cancel)

    def _choices(self, words: str, type_name: str) -> list[tuple[str, str]]:
        type_id = None if type_name == ANY_TYPE else type_name.split()[0]
        found = search_samples(self._studio.samples, words, type_id)
        return [(f"{one.id}: {one.source_prompt} → {one.target_prompt}", one.id) for one in found]

    def _on_search(self, words: str, type_name: str) -> Any:
        return gr.Dropdown(choices=self._choices(words, type_name))

    def _on_sample(self, sample_id: str | None) -> list[Any]:
        found = [sample for sample in self._studio.samples if sample.id == sample_id]
        if not found:
            return [gr.skip()] * 7
        texts = Texts.of(found[0])
        source = Source(found[0].file, found[0])
        return ["", source, *_fields(texts), str(source.file)]

    def _on_upload(self, file: str, count: int, *shown: Any) -> list[Any]:
        try:
            restored = actions.upload(self._studio, Path(file), _shown(shown))
        except PiebenchError as error:
            return [message_html(str(error), is_problem=True), *[gr.skip()] * 9, None]
        now = restored.shown
        picture = None if now.source is None else str(now.source.file)
        return [
            message_html(restored.message),
            now.source,
            *_fields(now.texts),
            list(now.combinations),
            dict(now.controls),
            picture,
            count + 1,
            None,
        ]

    def _on_edit(
        self,
        source: Any,
        source_prompt: str,
        target_prompt: str,
        blended_word: str,
        instruction: str,
        chosen: list[str],
        controls: dict[str, Any],
        request: gr.Request,  # Gradio gives it by its annotation
    ) -> Iterator[list[Any]]:
        session = str(request.session_hash)
        values = (source, source_prompt, target_prompt, blended_word, instruction, chosen, controls)
        self._on_cancel(request)
        try:
            shown = _shown(values)
            asked, states = actions.edits(self._studio, self._worker, shown)
        except PiebenchError as error:
            yield [message_html(str(error), is_problem=True), *[gr.skip()] * 6]
            return
        self._requests[session] = asked
        before = -1
        try:
            for state in states:
                bars = progress_html(state.names, state.states, state.waiting_behind)
                problems = "\n".join(
                    f"{state.names[place]}: {what}"
                    for place, what in state.states.items()
                    if isinstance(what, str) and not what.startswith(("done", "Cancelled"))
                )
                news: list[Any] = [gr.skip()] * 5
                if len(state.made) != before:
                    before = len(state.made)
                    news = [*_results(state.made, shown), *_compared(state.made, before)]
                yield [message_html(problems, is_problem=True), bars, *news]
        finally:
            self._worker.withdraw(asked)
            if self._requests.get(session) is asked:
                del self._requests[session]

    def _on_cancel(self, request: gr.Request) -> None:
        if (asked := self._requests.get(str(request.session_hash))) is not None:
            self._worker.withdraw(asked)

    def _on_select(self, made: tuple[Made, ...], event: gr.SelectData) -> list[Any]:
        return _compared(made, int(event.index))

    def _on_commands(self, *values: Any) -> list[Any]:
        try:
            return ["", *actions.commands(self._studio, _shown(values))]
        except PiebenchError as error:
            return [message_html(str(error), is_problem=True), "", ""]


def _shown(values: Any) -> Shown:
    source, source_prompt, target_prompt, blended_word, instruction, chosen, controls = values
    texts = Texts(source_prompt or "", target_prompt or "", blended_word or "", instruction or "")
    return Shown(source, texts, tuple(chosen or ()), controls or {})


def _fields(texts: Texts) -> list[str]:
    return [texts.source_prompt, texts.target_prompt, texts.blended_word, texts.instruction]


def _results(made: tuple[Made, ...], shown: Shown) -> list[Any]:
    """The gallery, the scores and what was made."""
    assert shown.source is not None, "what has no source was refused"
    first = made[0].source if made else str(shown.source.file)
    pictures = [(first, "source"), *((str(edit.file), edit.name) for edit in made)]
    return [pictures, scores_html(made), made]


def _compared(made: tuple[Made, ...], place: int) -> list[Any]:
    """The slider and the download of an edit, by its place in the gallery; the source is the first there."""
    if not 1 <= place <= len(made):
        return [gr.skip(), gr.skip()]  # an empty slider is an error in Gradio's page
    edit = made[place - 1]
    pair = (edit.source, str(edit.file))
    return [
        gr.ImageSlider(value=pair, label=f"Source | {edit.name}"),
        gr.DownloadButton(value=str(edit.file), interactive=True),
    ]
