"""What an editor of pictures may return, and what is a failure of its sample."""

import gc
import weakref
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.data.images import OutputFilter, load_image, loaded_size
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures, Editor, LoadedEditor
from piebench_eval.errors import PiebenchError
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.compatibility import require_fitting_editors
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.jobs import model_specs
from piebench_eval.runs.machine import MachineOptions, WorkerSpec
from piebench_eval.runs.model_runner import ModelRunner
from tests.support.photos import save_shapes_bench

SIDE = 32


def edit_with(monkeypatch, samples, returned, chosen=None, **declared):
    """One batch by an editor that returns what a function makes of the pictures."""
    editor = Editor(
        title="test",
        paper="none",
        prompted_by="both",
        masks="none",
        edit=lambda loaded, pictures, samples, settings, common: returned(pictures),
        **declared,
    )
    monkeypatch.setitem(EDITORS._plugins, "ours", (editor, "plugin ours.py"))
    fields = {"model": "none", "editors": ["ours"], "resolution": SIDE, **(chosen or {})}
    combination = build_recipe(fields, {}, "test").combination("", "ours")
    require_fitting_editors([combination])
    loaded = LoadedEditor(None, torch.device("cpu"), EvaluationCounter())
    return edit_batch(loaded, samples, combination)


@pytest.fixture(scope="module")
def samples(photo_bench):
    return load_pie_bench(photo_bench)[:2]


def of_each(change, **fields):
    return lambda pictures: EditedPictures([change(picture) for picture in pictures], **fields)


def test_pictures_pass_unchanged_with_their_costs_and_notes(monkeypatch, samples):
    noted = of_each(lambda picture: picture, evaluations=3, notes=[["a"], []])
    first, second = edit_with(monkeypatch, samples, noted)
    assert first.image.shape == (SIDE, SIDE, 3) and first.latents is None and first.resolution == SIDE
    assert (first.nfe_forward, first.notes, second.notes) == (3, ["a"], [])
    declared = edit_with(monkeypatch, samples, of_each(lambda picture: picture), evaluations=lambda *_: 7)
    assert declared[1].nfe_forward == 7


def test_floats_become_whole_grey_levels(monkeypatch, samples):
    (first, _) = edit_with(monkeypatch, samples, of_each(lambda picture: picture.astype(np.float32) / 255))
    (same, _) = edit_with(monkeypatch, samples, of_each(lambda picture: picture))
    assert (first.image == same.image).all()


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (lambda pictures: EditedPictures(pictures[:1]), "1 pictures for 2 samples"),
        (lambda pictures: pictures, "ours: returned list; an editor returns EditedPictures"),
        (lambda pictures: None, "ours: returned NoneType; an editor returns EditedPictures"),
        (of_each(lambda picture: picture, notes=[["a"]]), "1 lists of notes for 2 samples"),
        (of_each(lambda picture: picture, flagged=[]), "0 flags for 2 samples"),
        (of_each(lambda picture: picture[..., 0]), "an editor returns .height, width, 3."),
        (of_each(lambda picture: picture[:16]), "is 32x16, and the picture that was given 32x32"),
        (of_each(lambda picture: picture[::2, ::2]), "is 16x16, and the picture that was given 32x32"),
        (of_each(lambda picture: picture * np.nan), "not finite"),
        (of_each(lambda picture: picture * 1.0), "from 0 to 1"),
        (of_each(lambda picture: picture.astype(int)), "type int64"),
        (of_each(lambda picture: picture * 0, flagged=[True, False]), "safety checker.*made it black"),
    ],
)
def test_what_is_no_picture_is_a_failure(monkeypatch, samples, returned, problem):
    with pytest.raises(PiebenchError, match=problem):
        edit_with(monkeypatch, samples, returned)


def test_an_editor_with_a_size_of_its_own_keeps_the_aspect_ratio(monkeypatch, samples):
    halved = of_each(lambda picture: picture[::2, ::2])
    assert edit_with(monkeypatch, samples, halved, keeps_size=False)[0].resolution == SIDE // 2
    with pytest.raises(PiebenchError, match="32x16"):
        edit_with(monkeypatch, samples, of_each(lambda picture: picture[:16]), keeps_size=False)


@pytest.mark.parametrize(("precision", "fast"), [("tf32", True), ("fp32", False)])
def test_tf32_holds_while_pictures_are_edited(monkeypatch, samples, precision, fast):
    seen = []
    noted = of_each(lambda picture: seen.append(torch.backends.cuda.matmul.allow_tf32) or picture)
    edit_with(monkeypatch, samples, noted, {"precision": precision})
    assert seen == [fast, fast] and not torch.backends.cuda.matmul.allow_tf32


def test_an_error_names_the_plugin(monkeypatch, samples):
    failed = r"plugin ours\.py: failed in ours with ZeroDivisionError"
    with pytest.raises(PiebenchError, match=failed):
        edit_with(monkeypatch, samples, lambda pictures: 1 / 0)
    same = of_each(lambda picture: picture)
    with pytest.raises(PiebenchError, match=failed):
        edit_with(monkeypatch, samples, same, evaluations=lambda *_: 1 / 0)
    with pytest.raises(PiebenchError, match=failed):
        edit_with(monkeypatch, samples, same, settings_problem=lambda *_: 1 / 0)


@pytest.mark.parametrize("loader", ["crop", "shorter_side", "resize"])
def test_pictures_are_given_in_the_editors_own_size_where_the_recipe_has_none(monkeypatch, tmp_path, loader):
    (sample,) = [each for each in load_pie_bench(save_shapes_bench(tmp_path)) if each.id == "wide"]
    given = []
    own = {"native_resolution": lambda loaded, common: 96 + common.steps}
    for fields, side in (({}, 146), ({"resolution": 64}, 64)):
        same = of_each(lambda picture: given.append(picture) or picture)
        (edit,) = edit_with(
            monkeypatch, [sample], same, {"resolution": None, "image_loader": loader} | fields, **own
        )
        assert (given.pop() == load_image(sample.file, side, loader)).all() and edit.resolution == side
        assert edit.image.shape[:2][::-1] == loaded_size((192, 128), loader, side)


@pytest.mark.parametrize("name", get_args(OutputFilter))
def test_edits_come_back_by_a_filter_of_pil(monkeypatch, samples, name):
    (edit, _) = edit_with(
        monkeypatch,
        samples,
        of_each(lambda picture: picture),
        {"resolution": 192, "output_resolution": 50, "output_filter": name},
    )
    picture = Image.fromarray(load_image(samples[0].file, 192))
    expected = picture.resize((50, 50), getattr(Image.Resampling, name.upper()))
    assert (edit.image == np.asarray(expected)).all() and edit.resolution == 192


def test_what_an_editor_has_loaded_is_gone_before_the_next_one_loads(monkeypatch):
    class Loaded:
        """Networks that hold one another, as those of a pipeline do that leaves the GPU in turns."""

        def __init__(self):
            self.itself = self

    alive, seen = [], []

    def load(*_):
        seen.append([each() for each in alive])
        alive.append(weakref.ref(loaded := Loaded()))
        return loaded

    for name in ("first", "second"):
        editor = Editor(
            title=name, paper="none", prompted_by="both", masks="none", edit=lambda *_: None, load=load
        )
        monkeypatch.setitem(EDITORS._plugins, name, (editor, "plugin ours.py"))
    recipe = build_recipe({"model": "none", "editors": ["first", "second"]}, {}, "test")
    runner = ModelRunner(WorkerSpec(MachineOptions(), "cpu", None, 1, None, "s"), recipe)
    gc.disable()
    for model in model_specs(recipe):
        runner.load(model)
    gc.enable()
    assert seen == [[], [None]]
