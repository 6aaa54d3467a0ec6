"""Every editor that is a pipeline of diffusers: its small model, its settings, and the call by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from piebench_eval.data.sample import Sample
from tests.support.tiny_model import save_tiny_model
from tests.support.tiny_pipelines import (
    flux_kontext,
    image_to_image,
    inpainting,
    instruct_pix2pix,
    ledits_pp,
    qwen_image_edit,
)
from tests.support.tiny_sdxl import save_tiny_sdxl

save_tiny_sd = partial(save_tiny_model, layers=1)


@dataclass(frozen=True)
class PipelineCase:
    """One editor.

    Attributes:
        editor: its name.
        save: writes its small model into a folder, and returns the folder.
        by_hand: ``(folder, image, sample, generator)`` -> the pipeline's edit in 2 steps at guidance 5.
        settings: its own settings.
        fields: further fields of the recipe.
        variant: what tells cases of one editor apart.
    """

    editor: str
    save: Callable[[Path], Path]
    by_hand: Callable[[Path, Image.Image, Sample, torch.Generator], Image.Image]
    settings: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    variant: str = ""


CASES = {
    f"{case.editor}{case.variant}": case
    for case in [
        PipelineCase(
            "instruct_pix2pix", instruct_pix2pix.save, instruct_pix2pix.by_hand, {"image_guidance": 1.2}
        ),
        PipelineCase("ledits_pp", save_tiny_sd, ledits_pp.by_hand, {"skip": 0.5}),
        PipelineCase(
            "ledits_pp",
            save_tiny_sdxl,
            ledits_pp.by_hand_sdxl,
            {"skip": 0.5, "source_prompt": "source", "use_intersect_mask": False},
            {"source_guidance": 3.5},
            "-sdxl",
        ),
        PipelineCase("inpainting", save_tiny_sd, inpainting.by_hand, {"strength": 0.5}),
        PipelineCase("inpainting", inpainting.save, inpainting.by_hand_trained, variant="-trained"),
        PipelineCase("inpainting", save_tiny_sdxl, inpainting.by_hand_sdxl, variant="-sdxl"),
        PipelineCase("flux_kontext", flux_kontext.save, flux_kontext.by_hand),
        PipelineCase("qwen_image_edit", qwen_image_edit.save, qwen_image_edit.by_hand),
        PipelineCase(
            "diffusers",
            image_to_image.save,
            image_to_image.by_hand,
            {
                "pipeline": "StableDiffusionImg2ImgPipeline",
                "arguments": {"prompt": "{target_prompt}", "image": "{image}", "strength": 0.5},
                "without": ["safety_checker"],
            },
        ),
    ]
}
