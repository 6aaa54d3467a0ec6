"""What happens on the page, without Gradio and without a model."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.errors import PiebenchError
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio import actions
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.page_html import progress_html, scores_html
from piebench_eval.studio.progress import EditProgress
from piebench_eval.studio.recording import Recording, with_recording
from piebench_eval.studio.session import Made, Studio
from piebench_eval.studio.sources import Source, Texts
from piebench_eval.studio.worker import Worker

NOTHING = Shown(None, Texts("", ""), ("direct+p2p",))


@pytest.fixture(scope="module")
def studio(tmp_path_factory, drawn_samples):
    folder = tmp_path_factory.mktemp("studio")
    return Studio("demo", MachineOptions(devices="cpu"), folder, drawn_samples)


def shown_of(sample, **controls):
    return Shown(Source(sample.file, sample), Texts.of(sample), ("direct+p2p",), controls)


def test_an_edit_restores_its_sample_its_texts_and_its_settings(studio, tmp_path):
    one = studio.samples[3]
    recording = Recording(
        model="demo",
        combination="ddim+p2p",
        combinations=["ddim+p2p", "sdedit"],
        settings={"steps": 6, "method.p2p.local_blend": False, "no.such": 1},
        source_prompt="a",
        target_prompt="b",
        sample=one.id,
    )
    file = tmp_path / "edit.png"
    file.write_bytes(with_recording(np.zeros((8, 8, 3), np.uint8), recording))
    restored = actions.upload(studio, file, NOTHING)
    assert restored.shown == Shown(
        Source(one.file, one),
        Texts("a", "b"),
        ("ddim+p2p", "sdedit"),
        {"steps": 6, "method.p2p.local_blend": False},
    )
    assert "are restored" in restored.message
    setup = actions.setup_of(studio, restored.shown)
    assert setup.recipe("ddim+p2p").steps == 6


def test_restored_settings_that_do_not_fit_are_refused(studio, tmp_path):
    recording = Recording(
        model="demo",
        combination="ddim+p2p",
        combinations=["ddim+p2p"],
        settings={"steps": -1},
        source_prompt="a",
        target_prompt="b",
    )
    file = tmp_path / "edit.png"
    file.write_bytes(with_recording(np.zeros((8, 8, 3), np.uint8), recording))
    with pytest.raises(PiebenchError, match="steps"):
        actions.upload(studio, file, NOTHING)


def test_a_picture_keeps_the_texts_and_the_choice(studio, tmp_path):
    file = tmp_path / "a.png"
    Image.new("RGB", (20, 10), "red").save(file)
    restored = actions.upload(studio, file, NOTHING)
    assert restored.shown.source.sample is None and restored.message == ""
    assert (restored.shown.texts, restored.shown.combinations) == (NOTHING.texts, NOTHING.combinations)


def test_commands_are_of_the_benchmark_until_a_text_is_changed(studio):
    one = studio.samples[0]
    shell, python = actions.commands(studio, shown_of(one, steps=5))
    assert f"--ids {one.id}" in shell and "--set steps=5" in shell and "--data" not in shell
    assert "'steps': 5" in python and str(one.file) in python
    shown = shown_of(one)
    changed = Shown(shown.source, Texts(one.source_prompt, "another", ""), shown.combinations)
    shell, _ = actions.commands(studio, changed)
    (read,) = load_pie_bench(Path(shell.split("--data ")[1].split()[0]))
    assert (read.target_prompt, read.mask_rle) == ("another", one.mask_rle)


def test_what_cannot_be_edited_is_refused_before_it_waits(studio):
    with pytest.raises(PiebenchError, match="no picture yet"):
        actions.edits(studio, Worker(), Shown(None, Texts("a", "b"), ("direct+p2p",)))
    with pytest.raises(PiebenchError, match="steps"):
        actions.edits(studio, Worker(), shown_of(studio.samples[0], steps=0))


def test_states_end_with_every_edit_made_failed_or_cancelled(studio, monkeypatch):
    made = Made("direct+p2p", Path("x.png"), np.zeros((1, 1, 3), np.uint8), 0.5, {})
    tasks = [lambda tell, is_cancelled: made]
    monkeypatch.setattr(Studio, "tasks", lambda self, setup, sample: tasks)
    _, states = actions.edits(studio, Worker(), shown_of(studio.samples[0]))
    *_, last = states
    assert (last.made, last.states, last.waiting_behind) == ((made,), {0: "done in 0.5 s"}, 0)
    worker = Worker()
    request, states = actions.edits(studio, worker, shown_of(studio.samples[0]))
    next(states)
    worker.withdraw(request)
    *_, last = states
    assert last.states[0] in ("Cancelled", "done in 0.5 s")


def test_cancelled_edits_are_shown_as_such_before_the_worker_comes_to_it(studio, monkeypatch):
    began, go_on = threading.Event(), threading.Event()

    def loads(tell, is_cancelled):
        began.set()
        go_on.wait(5)

    monkeypatch.setattr(Studio, "tasks", lambda self, setup, sample: [loads])
    worker = Worker()
    request, states = actions.edits(studio, worker, shown_of(studio.samples[0]))
    next(states)
    assert began.wait(5)
    worker.withdraw(request)
    *_, last = states
    assert last.states == {0: "Cancelled"} and not go_on.is_set()
    go_on.set()


def test_html_is_escaped_and_says_what_is_left():
    bars = progress_html(["<b>", "next"], {0: EditProgress(1, 4, 2.0)}, 1)
    assert "&lt;b&gt;" in bars and "<b>" not in bars
    assert (
        'value="0.250"' in bars
        and "6 s left" in bars
        and "1 request before this one" in bars
        and "waits" in bars
    )
    scores = {"mse_unedit_part": 0.001, "psnr_unedit_part": float("nan")}
    table = scores_html([Made("a+b", Path("x"), np.zeros((1, 1, 3)), 1.0, scores, ["<i>"])])
    assert "PSNR" in table and "10.00" in table and "–" in table and "&lt;i&gt;" in table
