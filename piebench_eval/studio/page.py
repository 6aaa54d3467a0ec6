"""The page: what lies where, and which action follows on what. Everything else is in ``actions``."""

from __future__ import annotations

import asyncio
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

from collections.abc import AsyncIterator, Iterator  # noqa: TC003 (Gradio reads annotations at run time)
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from piebench_eval.data.sample import TYPE_NAMES
from piebench_eval.errors import PiebenchError
from piebench_eval.studio import actions
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.page_html import (
    EMPTY,
    caption,
    head_html,
    message_html,
    progress_html,
    scores_html,
    words_html,
)
from piebench_eval.studio.page_inside import InsidePanel
from piebench_eval.studio.page_knobs import draw_knobs
from piebench_eval.studio.page_mask import MaskPanel
from piebench_eval.studio.page_style import TO_CHOICES, TO_RESULTS
from piebench_eval.studio.sample_search import ANY_TYPE, search_samples, type_label
from piebench_eval.studio.session import Made  # noqa: TC001 (likewise)
from piebench_eval.studio.sources import Source, Texts

if TYPE_CHECKING:
    from piebench_eval.studio.actions import EditsState
    from piebench_eval.studio.session import Studio
    from piebench_eval.studio.worker import Request, Worker

TITLE = "piebench studio"
_SECONDS_HELD = 10
"""How often it is looked whether a page is still open."""


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
        self._without_picture: set[str] = set()  # sessions that asked for an edit before there was one
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self._source, self._restored, self._made = gr.State(None), gr.State(0), gr.State(())
            self._controls = gr.JSON({}, visible="hidden")  # what controls show that were moved
            gr.HTML(head_html(TITLE, studio.model), padding=False)
            self._message = gr.HTML(elem_id="message", padding=False)
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    self._lay_out_source()
                    self._lay_out_prompts()
                    self._lay_out_choice()
                with gr.Column(scale=3, min_width=320, elem_id="results"):
                    self._lay_out_results()
                    InsidePanel(self._worker, self._gallery, self._made)
            self._connect()

    def _lay_out_source(self) -> None:
        self._file = gr.File(
            label="Drop a picture, or an edit of the studio", type="filepath", height=110, elem_id="drop"
        )
        if self._studio.samples:
            with gr.Group():
                with gr.Row():
                    self._words = gr.Textbox(
                        label="Search the benchmark", placeholder="id or words", min_width=120
                    )
                    types = [ANY_TYPE, *map(type_label, TYPE_NAMES)]
                    self._type = gr.Dropdown(types, value=ANY_TYPE, label="Editing type", min_width=120)
                self._sample = gr.Dropdown(
                    self._choices("", ANY_TYPE), value=None, label="Sample", elem_id="sample"
                )
                self._found = gr.JSON(visible="hidden")  # what a search has found
        self._picture = gr.Image(
            label="Source", interactive=False, height=280, type="filepath", buttons=[], elem_id="source"
        )
        MaskPanel(self._source, self._picture, self._restored)

    def _lay_out_prompts(self) -> None:
        with gr.Group():
            self._source_prompt = gr.Textbox(
                label="Source prompt", placeholder="describes the picture: a cat on a chair"
            )
            self._target_prompt = gr.Textbox(
                label="Target prompt", placeholder="describes the edit: a dog on a chair"
            )
        self._marked = gr.HTML(elem_id="words", padding=False)
        with gr.Group(), gr.Row():
            self._blended = gr.Textbox(
                label="Blended words",
                placeholder="cat dog",
                info="limit the edit to them; may be empty",
                min_width=120,
            )
            self._instruction = gr.Textbox(
                label="Instruction",
                placeholder="make it a dog",
                info="for editors that are told what to do",
                min_width=120,
            )

    def _lay_out_choice(self) -> None:
        self._chosen = gr.Dropdown(
            self._studio.combinations,
            value=self._studio.first_choice,
            multiselect=True,
            label="Combinations and editors",
            info="an inversion with a method, or an editor; all are made, one after the other",
        )
        with gr.Row():
            self._edit = gr.Button("Edit", variant="primary", size="lg", scale=2, min_width=120)
            self._cancel = gr.Button("Cancel", size="lg", scale=1, min_width=100)
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
        self._progress = gr.HTML(EMPTY, padding=False)
        self._gallery = gr.Gallery(
            label="Source and edits: choose one to compare it",
            columns=3,
            format="png",
            height="auto",
            object_fit="contain",
            allow_preview=False,
            buttons=[],
            visible=False,
            elem_id="edits",
        )
        self._scores = gr.HTML(padding=False)
        with gr.Column(visible=False) as self._comparison:
            self._slider = gr.ImageSlider(
                label="Source | edit", interactive=False, buttons=[], format="png", elem_id="slider"
            )
            self._download = gr.DownloadButton("Download this edit as PNG", interactive=False)

    def _connect(self) -> None:
        texts = [self._source_prompt, self._target_prompt, self._blended, self._instruction]
        shown = [self._source, *texts, self._chosen, self._controls]
        restored = [self._message, *shown, self._picture, self._restored]
        self._file.upload(self._on_upload, [self._file, self._restored, *shown], [*restored, self._file])
        if self._studio.samples:
            for part in (self._words.change, self._type.change):
                found = part(self._on_search, [self._words, self._type], self._found, show_progress="hidden")
                found.then(None, self._found, self._sample, js=TO_CHOICES, show_progress="hidden")
            taken = [self._message, self._source, *texts, self._picture]
            self._sample.input(self._on_sample, self._sample, taken)
        prompts = [self._source_prompt, self._target_prompt]
        for prompt in prompts:
            prompt.change(words_html, prompts, self._marked, show_progress="hidden")
        compared = [self._comparison, self._slider, self._download]
        results = [self._message, self._progress, self._gallery, self._scores, self._made]
        gr.on(
            [self._edit.click, *(prompt.submit for prompt in prompts)],
            self._on_edit,
            shown,
            [*results, *compared],
            concurrency_limit=None,  # the worker has the queue
            trigger_mode="multiple",  # who asks again withdraws the edits before
            show_progress="hidden",
        )
        self._edit.click(None, None, None, js=TO_RESULTS)
        self._cancel.click(self._on_cancel, None, None, concurrency_limit=None, queue=False)
        self._gallery.select(self._on_select, self._made, compared, show_progress="hidden")
        self._show_commands.click(self._on_commands, shown, [self._message, self._command, self._python])
        self.blocks.unload(self._on_cancel)
        self.blocks.load(
            _hold_stream, None, None, concurrency_limit=None, show_progress="hidden", api_visibility="private"
        )

    def _choices(self, words: str, type_name: str) -> list[tuple[str, str]]:
        type_id = None if type_name == ANY_TYPE else type_name.split()[0]
        found = search_samples(self._studio.samples, words, type_id)
        return [(f"{one.id}: {one.source_prompt} → {one.target_prompt}", one.id) for one in found]

    def _on_search(self, words: str, type_name: str) -> dict[str, Any]:
        return {"choices": self._choices(words, type_name)}

    def _on_sample(self, sample_id: str | None, request: gr.Request) -> list[Any]:
        found = [sample for sample in self._studio.samples if sample.id == sample_id]
        if not found:
            return [gr.skip()] * 7
        texts = Texts.of(found[0])
        source = Source(found[0].file, found[0])
        return [self._arrived("", request), source, *_fields(texts), str(source.file)]

    def _on_upload(self, file: str, count: int, request: gr.Request, *shown: Any) -> list[Any]:
        try:
            restored = actions.upload(self._studio, Path(file), _shown(shown))
        except PiebenchError as error:
            return [message_html(str(error), is_problem=True), *[gr.skip()] * 9, None]
        now, before = restored.shown, _shown(shown)
        picture = None if now.source is None else str(now.source.file)
        # What stays is left alone: it may have been changed since the upload began.
        rest = [
            gr.skip() if value == old else value
            for value, old in zip(_settable(now), _settable(before), strict=True)
        ]
        message = (
            message_html(restored.message) if now.source is None else self._arrived(restored.message, request)
        )
        return [message, now.source, *rest, picture, count + 1, None]

    def _arrived(self, message: str, request: gr.Request) -> str:
        """What is said when a picture has come: also that an edit asked for too early can be made."""
        session = str(request.session_hash)
        if session in self._without_picture:
            self._without_picture.remove(session)
            message = f"{message}\nThe picture has come only now: press Edit again"
        return message_html(message)

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
            if source is None:
                self._without_picture.add(session)
            yield [message_html(str(error), is_problem=True), *[gr.skip()] * 7]
            return
        self._requests[session] = asked
        states = self._until_replaced(session, asked, states)
        before, said = -1, None
        try:
            for state in states:
                if self._requests.get(session) is not asked:
                    return  # others are shown by now
                bars = progress_html(state.names, state.states, state.waiting_behind, state.model_loads)
                problems = "\n".join(
                    f"{state.names[place]}: {what}"
                    for place, what in state.states.items()
                    if isinstance(what, str) and not what.startswith(("done", "Cancelled"))
                )
                news: list[Any] = [gr.skip()] * 6
                if len(state.made) != before:
                    before = len(state.made)
                    news = [*_results(state.made, shown), *_compared(state.made, before)]
                # What is said meanwhile of a picture that is dropped in stays.
                is_same = problems == said == ""
                message, said = message_html(problems, is_problem=True), problems
                yield [gr.skip() if is_same else message, bars, *news]
        finally:
            self._worker.withdraw(asked)
            if self._requests.get(session) is asked:
                del self._requests[session]

    def _until_replaced(
        self, session: str, asked: Request, states: Iterator[EditsState]
    ) -> Iterator[EditsState]:
        """States until the session asks for other edits, whose states they must not overwrite."""
        for state in states:
            if self._requests.get(session) is not asked:
                return
            yield state

    def _on_cancel(self, request: gr.Request) -> None:
        session = str(request.session_hash)
        self._without_picture.discard(session)
        if (asked := self._requests.get(session)) is not None:
            self._worker.withdraw(asked)

    def _on_select(self, made: tuple[Made, ...], event: gr.SelectData) -> list[Any]:
        return _compared(made, int(event.index))

    def _on_commands(self, *values: Any) -> list[Any]:
        try:
            return ["", *actions.commands(self._studio, _shown(values))]
        except PiebenchError as error:
            return [message_html(str(error), is_problem=True), "", ""]


async def _hold_stream() -> AsyncIterator[None]:
    """Stay an event that has not ended, as long as the page is open.

    Gradio's server closes its stream of news to a page with the last event that goes on. An event that
    begins before the page has heard of that is shown nothing of: the page takes the stream for open, and then
    closes it. With this event there is no last one.
    """
    while True:
        yield
        await asyncio.sleep(_SECONDS_HELD)


def _shown(values: Any) -> Shown:
    source, source_prompt, target_prompt, blended_word, instruction, chosen, controls = values
    texts = Texts(source_prompt or "", target_prompt or "", blended_word or "", instruction or "")
    return Shown(source, texts, tuple(chosen or ()), controls or {})


def _settable(shown: Shown) -> list[Any]:
    """What texts, choice and controls show."""
    return [*_fields(shown.texts), list(shown.combinations), dict(shown.controls)]


def _fields(texts: Texts) -> list[str]:
    return [texts.source_prompt, texts.target_prompt, texts.blended_word, texts.instruction]


def _results(made: tuple[Made, ...], shown: Shown) -> list[Any]:
    """The gallery, the scores and what was made."""
    assert shown.source is not None, "what has no source was refused"
    first = made[0].source if made else str(shown.source.file)
    pictures = [(first, "source"), *((str(edit.file), caption(edit)) for edit in made)]
    return [gr.Gallery(value=pictures, visible=True), scores_html(made), made]


def _compared(made: tuple[Made, ...], place: int) -> list[Any]:
    """The slider and the download of an edit, by its place in the gallery; the source is the first there."""
    if not made:
        # An empty slider is an error in Gradio's page.
        return [gr.Column(visible=False), gr.skip(), gr.skip()]
    if not 1 <= place <= len(made):
        return [gr.skip()] * 3
    edit = made[place - 1]
    pair = (edit.source, str(edit.file))
    return [
        gr.Column(visible=True),
        gr.ImageSlider(value=pair, label=f"Source | {edit.name}"),
        gr.DownloadButton(f"Download {edit.name} as PNG", value=str(edit.file), interactive=True),
    ]
