"""Stable Diffusion 1.x with random weights, called as image to image by hand."""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionImg2ImgPipeline
from PIL import Image

from piebench_eval.data.sample import Sample
from tests.support.tiny_model import save_tiny_model


def save(folder: Path) -> Path:
    """Write the model."""
    return save_tiny_model(folder, layers=1)


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit from half of the noise, as a PIL image."""
    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        sample.target_prompt,
        image,
        strength=0.5,
        num_inference_steps=2,
        guidance_scale=5.0,
        generator=generator,
    )
    return output.images[0]
