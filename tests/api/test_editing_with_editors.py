"""``piebench_eval.edit`` with an editor in the place of inversion and method."""

import numpy as np
import pytest
from PIL import Image, ImageOps

import piebench_eval as pb
from piebench_eval.data.images import load_image
from piebench_eval.data.masks import decode_rle
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.recipes.recipe import build_recipe
from tests.support.runs import run

PROMPTS = ("a round cake with orange frosting on a wooden plate", "a square cake with blue frosting")
LOADED = []


def mirrored(image, sample):
    """Mirror the picture."""
    return ImageOps.mirror(image)


def painted(loaded, pictures, samples, settings, common):
    """Paint masks in a colour that the instruction gives."""
    masks = (decode_rle(sample.mask_rle, 128, 128) for sample in samples)
    return EditedPictures(
        [
            np.where(mask[..., None], np.uint8(loaded + int(sample.instruction)), picture)
            for mask, picture, sample in zip(masks, pictures, samples, strict=True)
        ]
    )


def load(settings, common, options):
    LOADED.append(options.device.type)
    return 100


@pytest.fixture(autouse=True)
def editors(monkeypatch):
    monkeypatch.setattr(EDITORS, "_plugins", dict(EDITORS._plugins))
    about = {"title": "Paint", "paper": "none", "prompted_by": "instruction", "masks": "benchmark"}
    EDITORS.add("paint", Editor(**about, edit=painted, load=load, needs_model=False), "plugin paint.py")


@pytest.fixture
def file(samples):
    return samples[0].file


def test_it_is_the_edit_of_a_run(samples, photo_bench, tiny_model, tmp_path):
    fields = {"model": str(tiny_model), "editors": {"sdedit": {"strength": 0.5}}, "steps": 2}
    run(build_recipe(fields, {}, "test"), photo_bench, tmp_path / "run")
    sample, settings = samples[0], {"steps": 2, "editor.strength": 0.5}
    alone = pb.edit(
        sample.file, sample.source_prompt, sample.target_prompt,
        editor="sdedit", model=str(tiny_model), settings=settings, device="cpu",
    )  # fmt: skip
    (saved,) = (tmp_path / "run/images/sdedit").rglob(f"{sample.id}.png")
    assert np.array_equal(np.asarray(alone), np.asarray(Image.open(saved)))


def test_a_function_and_its_name(file):
    edited = pb.edit(file, *PROMPTS, editor=mirrored, device="cpu")
    assert np.array_equal(np.asarray(edited), load_image(file)[:, ::-1])
    assert np.array_equal(np.asarray(edited), pb.edit(file, *PROMPTS, editor="mirrored", device="cpu"))


def test_what_an_editor_loads_stays_and_is_told_mask_and_instruction(file, tmp_path):
    mask = np.zeros((128, 128), bool)
    mask[10:20, 30:40] = True
    Image.fromarray(mask).save(tmp_path / "mask.png")
    LOADED.clear()
    for given in (mask, tmp_path / "mask.png"):
        edited = pb.edit(file, *PROMPTS, editor="paint", instruction="7", mask=given, device="cpu")
        assert np.array_equal((np.asarray(edited) != load_image(file)).any(axis=2), mask)
        assert (np.asarray(edited)[mask] == 107).all()
    assert LOADED == ["cpu"]
    pb.edit(file, *PROMPTS, editor="paint", instruction="7", mask=mask, device="cpu", settings={"seed": 1})
    assert LOADED == ["cpu", "cpu"]


def test_what_does_not_fit_is_said(file):
    mask = np.ones((128, 128), bool)
    for wrong, needle in (
        ({"editor": "sdedit", "method": "p2p"}, "leave these two out"),
        ({"editor": "sdedti"}, "is sdedit meant"),
        ({"editor": "sdedit", "settings": {"steps": 2, "editor.strength": 0.1}}, "no step"),
        ({"editor": "paint", "mask": mask}, "instruction is missing: paint"),
        ({"editor": "paint", "instruction": "7"}, "mask is missing"),
        ({"editor": "paint", "instruction": "7", "mask": mask[:8]}, r"\[8, 128\] of bool; give \[128, 128\]"),
        ({"editor": "paint", "instruction": "7", "mask": mask, "deterministic": True}, "--deterministic"),
    ):
        with pytest.raises(pb.PiebenchError, match=needle):
            pb.edit(file, *PROMPTS, device="cpu", **wrong)
