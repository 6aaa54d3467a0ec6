"""A pipeline of diffusers by the name of its class: what its arguments stand for, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from piebench_eval.data.masks import load_mask
from piebench_eval.editors.pipelines.any_pipeline import (
    AnyPipelineSettings,
    filled_arguments,
    looks_at,
    settings_problem,
)
from piebench_eval.recipes.combination import CommonSettings

COMMON = CommonSettings(model="none", resolution=64)
PIPELINE = "StableDiffusionInpaintPipeline"


def settings(pipeline=PIPELINE, **arguments):
    return AnyPipelineSettings(pipeline=pipeline, arguments={"image": "{image}", **arguments})


def test_placeholders_stand_for_what_the_sample_has(samples):
    image, sample = Image.new("RGB", (64, 64)), samples[1]
    asked = settings(
        prompt="from {source_prompt} to {target_prompt}",
        negative_prompt=["{instruction}", "{{braces}}"],
        mask_image="{mask}",
        height="{height}",
        strength=0.5,
    )
    filled = filled_arguments(asked, COMMON, image, sample)
    assert filled["prompt"] == f"from {sample.source_prompt} to {sample.target_prompt}"
    assert filled["negative_prompt"] == [sample.instruction, "{braces}"]
    assert filled["image"] is image and (filled["height"], filled["strength"]) == (64, 0.5)
    assert filled["mask_image"].mode == "L"
    np.testing.assert_array_equal(np.asarray(filled["mask_image"]) == 255, load_mask(sample, 64))
    told = filled_arguments(asked, COMMON.model_copy(update={"prompt_from": "target"}), image, sample)
    assert told["negative_prompt"][0] == sample.target_prompt
    untold = replace(sample, instruction="")
    assert filled_arguments(settings(prompt="{target_prompt}"), COMMON, image, untold)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"prompt": "{target_prompt}"}, ("target prompt", "none")),
        ({"prompt": "{instruction}", "mask_image": "{mask}"}, ("instruction", "benchmark")),
        ({"prompt": "{instruction}: {target_prompt}"}, ("both", "none")),
    ],
)
def test_rows_say_what_the_arguments_look_at(arguments, expected):
    assert looks_at(settings(**arguments)) == expected


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (AnyPipelineSettings(), "editor.pipeline: is missing; give a class"),
        (settings("StableDiffusionInpaint"), "is StableDiffusionInpaintPipeline or .* meant?"),
        (settings("torch"), "has no torch"),
        (settings("UNet2DConditionModel"), "UNet2DConditionModel is no pipeline that can be called"),
        (settings("AutoPipelineForImage2Image"), "is no pipeline that can be called"),
        (settings(prompt="a {image} here"), "'a {image} here' has a picture within a text"),
        (settings(prompt="{target_prompt:{width}}"), "{target_prompt:{width}} is no placeholder"),
        (settings().model_copy(update={"without": ["saftey"]}), "without: .* has no part saftey; it has vae"),
        (AnyPipelineSettings(pipeline=PIPELINE), "nothing is the picture"),
        (settings(num_inference_steps=20), "num_inference_steps: is the recipe's steps; set that"),
        (settings(prompt="{target}"), r"{target} is no placeholder; there are: {source_prompt}, "),
        (settings(prompt="{target_prompt"), "write {{ and }} for braces"),
        (settings(mask="{mask}"), "editor.arguments.mask: .* is not called with it; is mask_image"),
    ],
)
def test_what_cannot_be_called_is_said_when_a_run_is_planned(asked, problem):
    assert re.search(problem, settings_problem(asked, COMMON))
    assert settings_problem(settings(mask_image="{mask}"), COMMON) is None
