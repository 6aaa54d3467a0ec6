"""What the page shows of the inside of an edit, without Gradio."""

import numpy as np
import pytest
from PIL import Image

from piebench_eval.diffusion.inside import Frame, Inside, Reconstruction, StepMask, WordMap, unobserved
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio.inside import heat, reconstructed, veil
from piebench_eval.studio.inside_html import inside_html
from piebench_eval.studio.scorer import Scorer
from piebench_eval.studio.session import Made, Studio
from piebench_eval.studio.setup import Setup
from piebench_eval.studio.worker import Worker

PICTURE = np.full((8, 12, 3), 90, np.uint8)


@pytest.fixture
def made_of(tmp_path):
    def made(inside, reconstruct=None):
        Image.fromarray(PICTURE).save(tmp_path / "edit.png")
        return Made("a+b", tmp_path / "edit.png", PICTURE, 1.0, {}, [], inside, reconstruct)

    return made


def test_parts_are_laid_over_the_pictures_with_their_words(made_of):
    words = [WordMap("<cat>", np.full((2, 2), 0.25, np.float32)), WordMap("on", np.eye(2, dtype=np.float32))]
    masks = [StepMask(step, np.eye(2, dtype=np.uint8) * 255) for step in range(1, 21)]
    inside = Inside(
        source_words=words[:1],
        target_words=words,
        source_steps=2,
        target_steps=20,
        masks=masks,
        reconstruction=Reconstruction(PICTURE, 31.25, is_picture=True),
        film=[Frame(0, PICTURE), Frame(20, PICTURE)],
        steps=20,
    )
    html = inside_html(made_of(inside))
    assert "&lt;cat&gt;" in html and "<cat>" not in html and "up to 25.0 %" in html
    assert html.count("of-edit") == 2 + 6 and html.count("of-source") == 1
    assert "20 of 20 steps" in html and "2 of 20 steps" in html and "31.25 dB" in html
    assert "step 1<" in html and "step 20<" in html and "--shape:12/8" in html
    assert "http" not in html


def test_what_is_missing_is_said(made_of):
    html = inside_html(made_of(unobserved("<x> edits by itself")))
    assert html.count("<p>&lt;x&gt; edits by itself.</p>") == 5 and "<img" not in html


def test_colours_run_from_nothing_to_the_maps_own_maximum():
    assert (heat(np.zeros((1, 2), np.float32)) == heat(np.array([[0, 1]], np.float32))[0, 0]).all()
    weak, strong = (heat(np.array([[0.0, 0.1, 0.4]], np.float32) * factor) for factor in (0.01, 1))
    assert (weak == strong).all() and weak[0, 0, 3] > weak[0, 1, 3] > weak[0, 2, 3]
    assert veil(np.array([[0, 255]], np.uint8))[0, :, 3].tolist() == [200, 0]


def test_a_reconstruction_is_a_task_of_the_worker(made_of):
    found = Reconstruction(PICTURE, 20.0, is_picture=False)
    *_, last = reconstructed(Worker(), made_of(Inside(), lambda tell, is_cancelled: found))
    assert last is found
    *_, problem = reconstructed(Worker(), made_of(Inside(), lambda tell, is_cancelled: 1 / 0))
    assert problem.startswith("Failed: ZeroDivisionError")


def test_edits_of_the_studio_have_their_inside(tiny_model, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(Scorer, "scores", lambda *_: ({}, []))
    studio = Studio(str(tiny_model), MachineOptions(devices="cpu"), tmp_path)
    setup = Setup(str(tiny_model), ("ddim+plain", "sdedit"), {"steps": 2})
    pair, editor = (task(lambda _: None, lambda: False) for task in studio.tasks(setup, samples[1]))
    assert [word.word for word in pair.inside.target_words] == samples[1].target_prompt.split()
    assert pair.inside.reconstruction is None and editor.reconstruct is None
    *_, found = reconstructed(Worker(), pair)
    assert found.picture.shape == pair.source.shape and found.psnr > 0
