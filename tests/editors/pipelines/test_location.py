"""What a pipeline's folder says before anything is loaded, and how it loads."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from piebench_eval.editors.base import LoadOptions
from piebench_eval.editors.pipelines.any_pipeline import DIFFUSERS
from piebench_eval.editors.pipelines.loading import load_pipeline
from piebench_eval.editors.pipelines.location import check_pipeline_location, pipeline_fingerprint
from piebench_eval.errors import PiebenchError
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.editor_models import check_editor_models
from piebench_eval.runs.machine import MachineOptions

CLASS = "StableDiffusionPipeline"
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def load(folder):
    return load_pipeline(CLASS, CommonSettings(model=str(folder)), LoadOptions(torch.device("cpu")))


def test_a_whole_pipeline_passes_and_loads(tiny_model):
    check_pipeline_location(str(tiny_model), [CLASS])
    pipeline = load(tiny_model)
    assert type(pipeline).__name__ == CLASS and not pipeline.unet.training
    assert not any(weight.requires_grad for weight in pipeline.unet.parameters())


def unlink(name):
    return lambda folder: (folder / name).unlink()


def as_pickle(folder):
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def cut_off(folder):
    content = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (unlink("model_index.json"), "has no model_index.json; give the directory of a whole pipeline"),
        (lambda folder: shutil.rmtree(folder / "vae"), "model_index.json names vae, and there is no vae/"),
        (unlink(UNET), "unet/ holds no weights; copy them"),
        (as_pickle, "unet/ holds no safetensors weights; save them with safetensors, or pass --allow-pickle"),
        (cut_off, "its download was cut off"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_read(folder, break_it, problem):
    break_it(folder)
    with pytest.raises(PiebenchError) as caught:
        check_pipeline_location(str(folder), [CLASS])
    assert problem in str(caught.value) and str(folder) in str(caught.value)


def test_another_class_and_another_place_are_refused(tiny_model):
    with pytest.raises(PiebenchError, match=f"says {CLASS}, and this editor takes FluxKontextPipeline"):
        check_pipeline_location(str(tiny_model), ["FluxKontextPipeline"])
    with pytest.raises(PiebenchError, match="no such directory, and not a hub id"):
        check_pipeline_location("./nowhere", [CLASS])
    check_pipeline_location("owner/not-on-this-machine", [CLASS])  # its loader looks it up


def test_weights_that_a_file_lacks_are_not_made_up(folder):
    tensors = load_file(folder / UNET)
    del tensors["conv_out.weight"]
    save_file(tensors, folder / UNET)
    with pytest.raises(PiebenchError, match=r"has no fitting weights for conv_out\.weight"):
        load(folder)


def test_the_fingerprint_goes_by_the_content_of_all_parts(folder, tiny_model):
    before = pipeline_fingerprint(str(folder))
    assert before == pipeline_fingerprint(str(tiny_model))
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "steps_offset": 0}))
    assert pipeline_fingerprint(str(folder)) != before
    assert pipeline_fingerprint("owner/not-on-this-machine") is None


def test_a_part_that_is_left_out_need_not_be_there(folder):
    index = folder / "model_index.json"
    checker = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index.write_text(json.dumps({**json.loads(index.read_text()), "safety_checker": checker}))
    pipeline = {"pipeline": CLASS, "arguments": {}}
    for without in ([], ["safety_checker"]):
        fields = {"model": str(folder), "editors": {"diffusers": {**pipeline, "without": without}}}
        recipe = build_recipe(fields, {}, "test")
        combination = recipe.combination("", "diffusers")
        if not without:
            with pytest.raises(PiebenchError, match="names safety_checker, and there is no safety_checker/"):
                check_editor_models(recipe, MachineOptions())
            continue
        check_editor_models(recipe, MachineOptions())
        options = LoadOptions(torch.device("cpu"))
        loaded = DIFFUSERS.load(combination.editor_settings, combination.common, options)
        assert loaded.safety_checker is None
