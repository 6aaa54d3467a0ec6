"""Editors that are pipelines of diffusers edit as the pipelines do, called by hand."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.data.images import load_image
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import LoadedEditor, LoadOptions
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch
from piebench_eval.runs.forecast import count_evaluations
from tests.editors.pipelines.cases import CASES

SIDE = 128


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """A function that gives the folder of an editor's small model, written once."""
    return cache(lambda name: CASES[name].save(tmp_path_factory.mktemp("pipelines") / name))


@pytest.fixture(autouse=True)
def small_pictures_of_qwen(monkeypatch):
    """Qwen-Image-Edit looks at a picture in a megapixel, whatever the edit's size: here, in its own."""
    module = "diffusers.pipelines.qwenimage.pipeline_qwenimage_edit.calculate_dimensions"
    monkeypatch.setattr(module, lambda area, ratio: (SIDE, SIDE, None))


def recipe_of(case, folder, **fields):
    common = {"model": str(folder), "steps": 2, "guidance": 5.0, "resolution": SIDE, **case.fields, **fields}
    return build_recipe({**common, "editors": {case.editor: case.settings}}, {}, "test")


def loaded(case, recipe):
    combination, cpu = recipe.combination("", case.editor), torch.device("cpu")
    load = EDITORS.get(case.editor).load
    content = load(combination.editor_settings, combination.common, LoadOptions(cpu))
    return LoadedEditor(content, cpu, EvaluationCounter())


def edited(case, recipe, samples, content=None):
    combination = recipe.combination("", case.editor)
    return edit_batch(content or loaded(case, recipe), samples, combination)


@pytest.mark.parametrize("name", CASES)
def test_an_edit_is_that_of_the_pipeline_called_by_hand_also_in_a_batch(name, folder_of, samples):
    case, folder = CASES[name], folder_of(name)
    recipe = recipe_of(case, folder)
    two = edited(case, recipe, samples[:2])
    for result, sample in zip(two, samples, strict=False):
        picture = Image.fromarray(load_image(sample.file, SIDE, "crop"))
        expected = case.by_hand(folder, picture, sample, torch.Generator().manual_seed(1234))
        assert result.image.shape == (SIDE, SIDE, 3) and result.image.std() > 1
        np.testing.assert_array_equal(result.image, np.asarray(expected))
    (planned,) = count_evaluations(recipe, samples[:1]).values()
    declares = EDITORS.get(case.editor).evaluations is not None
    assert two[0].nfe_forward > 0 and planned.forward == (two[0].nfe_forward if declares else 0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.variant])
def test_the_seed_decides(name, folder_of, samples):
    case, folder = CASES[name], folder_of(name)
    recipes = [recipe_of(case, folder, seed=seed) for seed in (0, 0, 1)]
    content = loaded(case, recipes[0])
    first, again, other = (edited(case, recipe, samples[:1], content)[0] for recipe in recipes)
    assert (first.image == again.image).all() and (first.image != other.image).any()
