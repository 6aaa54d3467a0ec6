"""Editors on a GPU: in float32 their edits are a CPU's, and in bf16 near them."""

from functools import cache

import numpy as np
import pytest
import torch

from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import LoadedEditor, LoadOptions
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, edit_latents
from scripts.speed.measure import TOLERANCE
from tests.editors.pipelines.cases import CASES

pytestmark = pytest.mark.cuda

SIDE, STEPS = 128, 4
PIPELINES = [
    "instruct_pix2pix",
    "ledits_pp-sdxl",
    "inpainting",
    "flux_kontext",
    "qwen_image_edit",
    "diffusers",
]
OWN = [
    ("sdedit", "tiny_model"),
    ("sdedit", "tiny_sd3"),
    ("sdedit", "tiny_flux"),
    ("blended_latent_diffusion", "tiny_model"),
]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """A function that gives the folder of a pipeline's small model, written once."""
    return cache(lambda name: CASES[name].save(tmp_path_factory.mktemp("pipelines") / name))


@pytest.fixture(autouse=True)
def small_pictures_of_qwen(monkeypatch):
    """Qwen-Image-Edit looks at a picture in a megapixel, whatever the edit's size: here, in its own."""
    module = "diffusers.pipelines.qwenimage.pipeline_qwenimage_edit.calculate_dimensions"
    monkeypatch.setattr(module, lambda area, ratio: (SIDE, SIDE, None))


def recipe_of(folder, editor, settings, **fields):
    common = {"model": str(folder), "steps": STEPS, "resolution": SIDE, **fields}
    return build_recipe({**common, "editors": {editor: settings}}, {}, "test")


def picture_of(case, folder, sample, device, precision="fp32"):
    """A pipeline's edit, in grey levels."""
    recipe = recipe_of(folder, case.editor, case.settings, guidance=5.0, **case.fields, precision=precision)
    combination = recipe.combination("", case.editor)
    content = EDITORS.get(case.editor).load(
        combination.editor_settings, combination.common, LoadOptions(device)
    )
    editor = LoadedEditor(content, device, EvaluationCounter())
    (result,) = edit_batch(editor, [sample], combination)
    return result.image.astype(float)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_edits_as_on_a_cpu(device, folder_of, samples, name, record_property):
    case, folder = CASES[name], folder_of(name)
    expected = picture_of(case, folder, samples[0], torch.device("cpu"))
    off = np.abs(picture_of(case, folder, samples[0], device) - expected)
    record_property("grey levels off, max", f"{off.max():.0f}")
    record_property("off by more than one", f"{(off > 1).mean():.2%}")
    assert (off <= 1).mean() >= 0.99
    half = picture_of(case, folder, samples[0], device, "bf16")
    record_property("bf16 off, rms", f"{np.sqrt(np.square(half - expected).mean()):.1f}")
    assert np.sqrt(np.square(half - expected).mean()) < expected.std()


@pytest.mark.parametrize(("editor", "model"), OWN)
def test_an_editor_with_a_loaded_model_edits_as_on_a_cpu(
    device, samples, editor, model, request, record_property
):
    folder = request.getfixturevalue(model)
    combination = recipe_of(folder, editor, {}).combination("", editor)
    expected, found = (
        edit_latents(load_model(str(folder), device=place), samples[:2], combination)[0].float().cpu()
        for place in (torch.device("cpu"), device)
    )
    off = (found - expected).abs()
    record_property("latents off, max", f"{off.max():.1e}")
    assert off.max() <= TOLERANCE[0] and off.square().mean().sqrt() <= TOLERANCE[1]
