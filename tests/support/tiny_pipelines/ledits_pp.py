"""The pipelines of LEDITS++ called by hand, as their documentation shows."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    LEditsPPPipelineStableDiffusion,
    LEditsPPPipelineStableDiffusionXL,
)
from PIL import Image

from piebench_eval.data.sample import Sample
from piebench_eval.editors.pipelines.ledits_pp import LengthsOfTexts


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit by the target prompt after an inversion by no prompt, as a PIL image."""
    pipeline = LEditsPPPipelineStableDiffusion.from_pretrained(folder)
    pipeline.tokenizer = LengthsOfTexts(pipeline.tokenizer)
    return _invert_and_edit(pipeline, folder, image, sample, generator)


def by_hand_sdxl(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit by the target prompt after an inversion by the source prompt, as a PIL image."""
    pipeline = LEditsPPPipelineStableDiffusionXL.from_pretrained(folder)
    pipeline.tokenizer_2 = LengthsOfTexts(pipeline.tokenizer_2)
    inversion = {"source_prompt": sample.source_prompt, "source_guidance_scale": 3.5}
    return _invert_and_edit(pipeline, folder, image, sample, generator, **inversion)


def _invert_and_edit(
    pipeline: Any,
    folder: Path,
    image: Image.Image,
    sample: Sample,
    generator: torch.Generator,
    **inversion: Any,
) -> Image.Image:
    pipeline.scheduler = DPMSolverMultistepScheduler.from_pretrained(
        folder, subfolder="scheduler", algorithm_type="sde-dpmsolver++", solver_order=2
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.invert(image, num_inversion_steps=2, skip=0.5, generator=generator, **inversion)
    output = pipeline(
        editing_prompt=[sample.target_prompt],
        edit_guidance_scale=5.0,
        edit_threshold=0.9,
        generator=generator,
    )
    return output.images[0]
