"""InstructPix2Pix with random weights, and its pipeline called by hand."""

from pathlib import Path
from typing import Any

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionInstructPix2PixPipeline
from PIL import Image

from piebench_eval.data.sample import Sample
from tests.support.tiny_model import new_unet, save_pipeline


def save(folder: Path) -> Path:
    """Write the pipeline; its UNet takes the picture's latents beside the noisy ones."""
    unet = new_unet(layers=1, width=32, in_channels=8)
    scheduler = EulerAncestralDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    return save_pipeline(StableDiffusionInstructPix2PixPipeline, folder, unet, scheduler)


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit at guidance 5 of the text and 1.2 of the picture, as a PIL image."""
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        sample.instruction,
        image,
        num_inference_steps=2,
        guidance_scale=5.0,
        image_guidance_scale=1.2,
        generator=generator,
    )
    return output.images[0]
