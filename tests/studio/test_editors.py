"""Editors in the studio: which there are, what they need, and pipelines that are watched and cancelled."""

import gc
import weakref

import numpy as np
import pytest
from PIL import Image

import piebench_eval as pb
from piebench_eval.api import editing
from piebench_eval.editors import EDITORS
from piebench_eval.errors import PiebenchError
from piebench_eval.methods import METHODS
from piebench_eval.runs.machine import MachineOptions
from piebench_eval.studio import actions
from piebench_eval.studio.actions import Shown
from piebench_eval.studio.own_models import models_of_editors
from piebench_eval.studio.progress import Cancelled
from piebench_eval.studio.session import Studio
from piebench_eval.studio.setup import knobs_of_setup
from piebench_eval.studio.sources import Source, Texts
from tests.support.tiny_pipelines import instruct_pix2pix

PLUGIN = """
from PIL import Image
from pydantic import Field
import numpy as np
from piebench_eval.editors.base import EditedPictures, Editor
from piebench_eval.methods.plain import PLAIN
from piebench_eval.settings import Settings
from dataclasses import replace


class Brightness(Settings):
    by: int = Field(default=10, ge=0, le=90, description="grey levels that are added")


def edit(loaded, pictures, samples, settings, common):
    return EditedPictures([np.clip(p.astype(int) + settings.by, 0, 255).astype(np.uint8) for p in pictures])


EDITORS = {
    "brighten": Editor(
        title="Brighten", paper="none", prompted_by="target prompt", masks="none", settings=Brightness,
        edit=edit, needs_model=False,
    )
}
METHODS = {"my_plain": replace(PLAIN, title="Mine")}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def samples(drawn_samples):
    return drawn_samples


@pytest.fixture(scope="module")
def studio(folder, samples):
    models = {"instruct_pix2pix": str(instruct_pix2pix.save(folder / "my pipeline"))}
    studio = Studio("demo", MachineOptions(devices="cpu"), folder, samples, editor_models=models)
    studio._scorer.scores = lambda *edit: ({}, [])
    return studio


def one_edit(studio, sample, name, is_cancelled=lambda: False, **settings):
    (task,) = studio.tasks(studio.setup((name,), settings), sample)
    told = []
    return task(told.append, is_cancelled), told


def test_editors_are_offered_with_the_model_that_they_load(studio):
    models = studio.editor_models
    assert models["inpainting"] == models["ledits_pp"] == "demo"  # a pipeline that they take
    assert models["flux_kontext"] == "black-forest-labs/FLUX.1-Kontext-dev"
    assert models["instruct_pix2pix"].endswith("my pipeline") and "diffusers" not in models
    assert {*models, "sdedit", "blended_latent_diffusion"} <= {*studio.combinations}
    assert models_of_editors("demo", {"diffusers": "x"})["diffusers"] == "x"
    with pytest.raises(PiebenchError, match="sdedit edits with the model of --model"):
        models_of_editors("demo", {"sdedit": "x"})
    with pytest.raises(PiebenchError, match="is sdedit meant"):
        models_of_editors("demo", {"sdedi": "x"})


def test_an_editor_with_its_own_model_has_its_own_common_settings(studio):
    knobs = knobs_of_setup(studio.setup(("direct+p2p", "instruct_pix2pix")))
    by_name = {knob.name: knob for knob in knobs["editor instruct_pix2pix"]}
    assert by_name["instruct_pix2pix/steps"].default == 100  # of its published recipe
    assert by_name["editor.instruct_pix2pix.image_guidance"].minimum == 1
    assert "instruct_pix2pix/prompt_from" in by_name and "instruct_pix2pix/posterior" not in by_name
    settings = {"steps": 7, "instruct_pix2pix/steps": 8, "editor.instruct_pix2pix.image_guidance": 2.0}
    setup = studio.setup(("direct+p2p", "instruct_pix2pix"), settings)
    assert setup.recipe("direct+p2p").steps == 7 and setup.recipe("instruct_pix2pix").steps == 8


def test_what_edits_with_the_studios_model_comes_first(studio):
    shown = Shown(None, Texts("a", "b"), ("inpainting", "ddim+p2p", "ledits_pp", "sdedit"))
    assert actions.setup_of(studio, shown).combinations == ("ddim+p2p", "sdedit", "inpainting", "ledits_pp")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("instruct_pix2pix", "Instruction is empty; fill it in, or set prompt_from"),
        ("inpainting", "there is none; paint one"),
        ("blended_latent_diffusion", "there is none; paint one"),
        ("flux_kontext", "FLUX.1-Kontext-dev is not on this machine, .*hf download"),
    ],
)
def test_what_an_editor_lacks_is_said_before_it_waits(studio, name, message):
    source = Source(studio.samples[0].file)
    instruction = "make it blue" if name == "flux_kontext" else ""
    shown = Shown(source, Texts("a", "b", instruction=instruction), (name,))
    with pytest.raises(PiebenchError, match=message):
        actions.edits(studio, None, shown)


def test_a_folder_that_is_missing_is_said(folder, samples):
    models = {"instruct_pix2pix": str(folder / "nowhere")}
    studio = Studio("demo", MachineOptions(devices="cpu"), folder, samples, editor_models=models)
    with pytest.raises(PiebenchError, match="nowhere: no such directory"):
        studio.tasks(studio.setup(("instruct_pix2pix",)), samples[0])
    with pytest.raises(PiebenchError, match="nowhere: no such directory"):
        Studio(str(folder / "nowhere"), MachineOptions(devices="cpu"), folder)


def test_a_pipeline_tells_how_far_it_is_and_ends_when_it_is_cancelled(studio, samples):
    settings = {"instruct_pix2pix/steps": 3, "instruct_pix2pix/resolution": 64}
    made, told = one_edit(studio, samples[0], "instruct_pix2pix", **settings)
    assert [(progress.done, progress.total) for progress in told] == [(3, 9), (6, 9), (9, 9)]
    runner = next(iter(editing._kept.values()))
    with pytest.raises(Cancelled):
        one_edit(studio, samples[0], "instruct_pix2pix", lambda: True, **settings)
    again, _ = one_edit(studio, samples[0], "instruct_pix2pix", **settings)
    assert again.file == made.file
    one_edit(studio, samples[0], "instruct_pix2pix", **settings, **{"instruct_pix2pix/guidance": 2.0})
    assert next(iter(editing._kept.values())) is runner  # no setting but the model's loads anew


def test_networks_are_freed_before_those_of_the_next_editor_are_loaded(studio, samples):
    one_edit(studio, samples[0], "inpainting", **{"inpainting/steps": 2})
    before = weakref.ref(next(iter(editing._kept.values()))._model.content.unet)
    one_edit(studio, samples[0], "direct+p2p", steps=2)
    gc.collect()
    assert before() is None and not editing._kept
    before = weakref.ref(editing._loaded(*_spec(studio)).denoiser)
    one_edit(studio, samples[0], "inpainting", **{"inpainting/steps": 2})
    gc.collect()
    assert before() is None


def _spec(studio):
    recipe = studio.setup(("direct+p2p",), {"steps": 2}).recipe("direct+p2p")
    return editing.model_spec(recipe.combination("direct", "p2p")), "cpu", None, None, False


def test_a_plugin_has_controls_edits_and_commands(folder, samples, monkeypatch):
    for registry in (EDITORS, METHODS):
        monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
    file = folder / "my plugin.py"
    file.write_text(PLUGIN)
    studio = Studio("demo-flow", MachineOptions(devices="cpu"), folder, samples, plugins=[file])
    assert {"brighten", "flowedit+my_plain"} <= {*studio.combinations}
    (by, *_) = knobs_of_setup(studio.setup(("brighten",)))["editor brighten"]
    assert (by.name, by.minimum, by.maximum) == ("editor.brighten.by", 0, 90)
    assert "grey levels" in by.description
    made, _ = one_edit(studio, samples[0], "brighten", **{"editor.brighten.by": 20})
    assert {"psnr_unedit_part", "clip_similarity_target_image"} <= {*made.scores}
    one = samples[0]
    shown = Shown(Source(one.file, one), Texts.of(one), ("brighten",), {"editor.brighten.by": 20})
    shell, python = actions.commands(studio, shown)
    assert f"--plugin '{file}'" in shell and "--model" not in shell
    edited = eval(python.splitlines()[-1].split(".save(")[0], {"pb": pb})
    assert (np.asarray(edited) == np.asarray(Image.open(made.file))).all()
