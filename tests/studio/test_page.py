"""The page without a browser: it is built, and its events are called as Gradio does, without a model."""

import asyncio
import base64
import io
import os
import socket
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio.knobs import Knob
from piebench_eval.studio.session import Made, Studio
from piebench_eval.studio.sources import Source
from piebench_eval.studio.worker import MEMORY_IS_FULL, Worker

gr = pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def studio(tmp_path_factory, drawn_samples):
    folder = tmp_path_factory.mktemp("studio")
    return Studio("demo", MachineOptions(devices="cpu"), folder, drawn_samples)


@pytest.fixture(scope="module")
def blocks(studio, tmp_path_factory):
    from piebench_eval.studio.page import build_page

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        yield build_page(studio, Worker())


@pytest.fixture(autouse=True)
def tasks(studio, monkeypatch):
    """What edits do in the place of a model's work: one that is made, unless a test puts others here."""

    def make(tell, is_cancelled):
        file = studio.folder / "edits" / "direct+p2p.png"
        write_whole(file, PNG)
        return Made("direct+p2p", file, PIXELS, 0.5, {"psnr_unedit_part": 21.0}, ["a note"])

    given = [make]
    monkeypatch.setattr(Studio, "tasks", lambda self, setup, sample: list(given))
    return given


PIXELS = np.zeros((8, 8, 3), np.uint8)
_FILE = io.BytesIO()
Image.fromarray(PIXELS).save(_FILE, "PNG")
PNG = _FILE.getvalue()


class Visitor:
    """Somebody at the page: calls events by their functions' names, and keeps the page's memory."""

    def __init__(self, blocks, session="one"):
        from gradio.state_holder import SessionState

        self.blocks, self.memory = blocks, SessionState(blocks)
        self.request = gr.Request(session_hash=session)

    def call(self, name, *values, **event):
        """All that the event gives, one after the other; values of what the page remembers are left out."""
        function = next(one for one in self.blocks.fns.values() if one.name == name)
        given = iter(values)
        inputs = [None if isinstance(part, gr.State) else next(given) for part in function.inputs]
        data = gr.EventData(None, event) if event else None
        return asyncio.run(self._answers(function, inputs, data))

    async def _answers(self, function, inputs, data):
        answers, iterator = [], None
        while True:
            result = await self.blocks.process_api(
                function, inputs, state=self.memory, request=self.request, iterator=iterator, event_data=data
            )
            if iterator is not None and not result["is_generating"]:
                return answers
            answers.append(result["data"])
            iterator = result.get("iterator")
            if iterator is None:
                return answers

    def remembered(self, kind):
        """What the page remembers of a kind."""
        (found,) = [value for value in self.memory.state_data.values() if isinstance(value, kind)]
        return found

    def edit(self, source="a cat", target="a dog"):
        """Ask for an edit with the first choice."""
        return self.call("_on_edit", source, target, "", "", ["direct+p2p"], {})


def upload(visitor, file):
    given = {"path": str(file), "orig_name": file.name, "meta": {"_type": "gradio.FileData"}}
    (answer,) = visitor.call("_on_upload", given, "a cat", "a dog", "", "", ["direct+p2p"], {})
    return answer


@pytest.fixture
def gradio_file(tmp_path, blocks, monkeypatch):
    """Writes files where Gradio puts what is uploaded."""
    return lambda name: Path(os.environ["GRADIO_TEMP_DIR"]) / name


def test_an_edit_comes_with_its_bar_its_scores_and_its_download(blocks):
    visitor = Visitor(blocks)
    (taken,) = visitor.call("_on_sample", "000000000000")
    assert taken[0] == "" and taken[2]
    answers = visitor.edit()
    first, last = answers[0], answers[-1]
    assert "direct+p2p" in first[1] and "done in 0.5 s" in last[1]
    scores = next(answer[3] for answer in answers if "21.00" in str(answer[3]))
    assert "PSNR" in scores and "a note" in scores
    assert [made.name for made in visitor.remembered(tuple)] == ["direct+p2p"]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (("", "a dog"), "source prompt is empty"),
        (("a cat", "   "), "target prompt is empty"),
        (("a" * 2001, "a dog"), "2001 characters"),
        (("a cat", "a cat"), "are the same"),
    ],
)
def test_prompts_that_ask_for_no_edit_are_a_message(blocks, prompts, message):
    visitor = Visitor(blocks)
    visitor.call("_on_sample", "000000000000")
    (answer,) = visitor.edit(*prompts)
    assert 'role="alert"' in answer[0] and message in answer[0]


def test_a_full_gpu_is_a_message_and_the_next_edit_is_made(blocks, tasks):
    (make,) = tasks

    def full(tell, is_cancelled):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    visitor = Visitor(blocks)
    visitor.call("_on_sample", "000000000000")
    tasks[:] = [full]
    assert MEMORY_IS_FULL[:30] in visitor.edit()[-1][0].replace("&#x27;", "'")
    tasks[:] = [make]
    assert "done" in visitor.edit()[-1][1]


def held_task(tasks):
    """The task that is given, held up after it began, and the events of both."""
    (make,), began, go_on = tasks, threading.Event(), threading.Event()

    def held(tell, is_cancelled):
        began.set()
        go_on.wait(5)
        return make(tell, is_cancelled)

    return held, began, go_on


def test_two_people_queue(blocks, tasks):
    (make,), (held, began, go_on) = tasks, held_task(tasks)
    first, second = Visitor(blocks, "one"), Visitor(blocks, "two")
    for visitor in (first, second):
        visitor.call("_on_sample", "000000000000")
    tasks[:] = [held]
    editing = threading.Thread(target=first.edit)
    editing.start()
    assert began.wait(5)
    tasks[:] = [make]
    threading.Timer(0.2, go_on.set).start()
    answers = second.edit()
    assert "Waiting for 1 request before this one" in answers[0][1] and "done" in answers[-1][1]
    editing.join(5)
    assert [made.name for made in first.remembered(tuple)] == ["direct+p2p"]


def test_who_asks_again_sees_the_new_edits_alone(blocks, tasks):
    (make,), (held, began, go_on), seen = tasks, held_task(tasks), []
    visitor, again = Visitor(blocks), Visitor(blocks)
    for one in (visitor, again):
        one.call("_on_sample", "000000000000")
    tasks[:] = [held]
    editing = threading.Thread(target=lambda: seen.extend(visitor.edit()))
    editing.start()
    assert began.wait(5)
    tasks[:] = [make]
    threading.Timer(0.2, go_on.set).start()
    assert "done" in again.edit()[-1][1]
    editing.join(5)
    assert all("Cancelled" not in answer[1] and "done" not in answer[1] for answer in seen)


def test_bad_files_are_messages_and_what_was_done_to_a_picture_is_said(blocks, gradio_file):
    visitor = Visitor(blocks)
    bad = gradio_file("bad.png")
    bad.write_bytes(b"<html>")
    assert "no picture that can be read" in upload(visitor, bad)[0]
    Image.new("1", (8000, 5001)).save(bad)
    assert "megapixels" in upload(visitor, bad)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (20, 10), (255, 0, 0, 9)).save(bad, exif=exif)
    said, _, *kept = upload(visitor, bad)
    assert all(value["__type__"] == "update" for value in kept[:6])  # what was typed meanwhile stays
    assert "upright" in said and "white" in said and 'role="status"' in said
    assert visitor.remembered(Source).sample is None


def test_who_presses_edit_before_the_picture_has_come_is_told_to_press_it_again(blocks, gradio_file):
    visitor, file = Visitor(blocks), gradio_file("late.png")
    write_whole(file, PNG)
    assert "There is no picture yet" in visitor.edit()[-1][0]
    assert "press Edit again" in upload(visitor, file)[0]
    assert "press Edit again" not in upload(visitor, file)[0]
    again = Visitor(blocks)
    again.edit()
    (taken,) = again.call("_on_sample", "000000000000")
    assert "press Edit again" in taken[0]


def test_an_edit_leaves_what_is_said_of_the_next_picture(blocks):
    visitor = Visitor(blocks)
    visitor.call("_on_sample", "000000000000")
    first, *others = visitor.edit()
    assert first[0] == "" and others and all(answer[0]["__type__"] == "update" for answer in others)


def test_a_painted_mask_is_of_the_source(blocks, studio):
    visitor = Visitor(blocks)
    visitor.call("_on_sample", "000000000000")
    ((shown, _),) = visitor.call("painter_value")
    width, height = shown["size"]
    strokes = np.zeros((height, width, 4), np.uint8)
    strokes[: height // 2, :, 3] = 255
    ((_, share),) = visitor.call("_on_painted", mask=data_url(strokes))
    source = visitor.remembered(Source)
    assert "50% of the picture" in share
    assert source.mask()[:2].all() and not source.mask()[-2:].any()
    ((_, refused),) = visitor.call("_on_painted", mask="data:image/png;base64,AAAA")
    assert "cannot be read" in refused and visitor.remembered(Source) is source
    visitor.call("_on_painted", mask=data_url(np.zeros_like(strokes)))
    assert visitor.remembered(Source).painted is None


def data_url(strokes):
    buffer = io.BytesIO()
    Image.fromarray(strokes).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_a_painter_that_asks_for_much_is_refused(studio):
    from piebench_eval.studio.page_mask import SIDE, painted

    source = Source(studio.samples[0].file)
    for strokes in (data_url(np.zeros((4, SIDE + 1, 4), np.uint8)), "http://elsewhere/mask.png"):
        with pytest.raises(PiebenchError, match="cannot be read"):
            painted(strokes, source)


def test_commands_and_samples(blocks):
    visitor = Visitor(blocks)
    visitor.call("_on_sample", "000000000000")
    ((message, shell, python),) = visitor.call(
        "_on_commands", "a cat", "a dog", "", "", ["direct+p2p", "ddim+p2p"], {"steps": 7}
    )
    assert message == "" and shell.startswith("piebench run") and "--set steps=7" in shell
    assert "pb.edit" in python
    ((answer,),) = visitor.call("_on_search", "triangle", "any type")
    found = answer.root
    assert found["choices"] and all("triangle" in choice[0] for choice in found["choices"])
    ((marked,),) = visitor.call("words_html", "a cat", "a <b>")
    assert marked.count("<mark>") == 2 and "<b>" not in marked


@pytest.mark.parametrize(
    ("most", "noted"), [(1.0, "Math.min(Math.max(shown, 0.0), 1.0)"), (None, ": shown}")]
)
def test_what_is_typed_beside_a_slider_counts_within_its_range(most, noted):
    from piebench_eval.studio.page_knobs import _note

    assert noted in _note(Knob("share", "share", "number", 0.5, "", minimum=0.0, maximum=most))


def test_it_is_served_on_this_machine_alone_and_asks_nobody(monkeypatch):
    from piebench_eval.studio.serving import served

    monkeypatch.setattr(Studio, "warm_up", lambda self, tell, is_cancelled: None)
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "http://proxy.invalid:9" if "TTP" in name.upper() else "")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # put back at the end
    asked, look_up = [], socket.getaddrinfo

    def noted(host, *arguments, **options):
        asked.append(host)
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    with served("demo", MachineOptions(devices="cpu"), port=0) as address:
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as page:
            text = page.read().decode()
    assert "piebench studio" in text
    assert set(asked) <= {"127.0.0.1", "localhost", "0.0.0.0", None}
