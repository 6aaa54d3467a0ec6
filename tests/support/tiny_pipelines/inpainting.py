"""An inpainting model with random weights, and the pipelines of inpainting called by hand."""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from PIL import Image

from piebench_eval.data.masks import decode_rle
from piebench_eval.data.sample import Sample
from scripts.demo_training.unet import sd_scheduler
from tests.support.tiny_model import new_unet, save_pipeline


def save(folder: Path) -> Path:
    """Write the pipeline; its UNet takes the mask and the masked picture's latents beside the noisy ones."""
    unet = new_unet(layers=1, width=32, in_channels=9)
    return save_pipeline(StableDiffusionInpaintPipeline, folder, unet, sd_scheduler())


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit at strength 0.5, as a PIL image."""
    return _by_hand(StableDiffusionInpaintPipeline, 0.5, folder, image, sample, generator)


def by_hand_trained(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit from noise alone, as a PIL image."""
    return _by_hand(StableDiffusionInpaintPipeline, 1.0, folder, image, sample, generator)


def by_hand_sdxl(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit from noise alone, as a PIL image."""
    return _by_hand(StableDiffusionXLInpaintPipeline, 1.0, folder, image, sample, generator)


def _by_hand(
    pipeline_class: Any,
    strength: float,
    folder: Path,
    image: Image.Image,
    sample: Sample,
    generator: torch.Generator,
) -> Image.Image:
    pipeline = pipeline_class.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt=sample.target_prompt,
        image=image,
        mask_image=Image.fromarray(decode_rle(sample.mask_rle, *image.size[::-1])).convert("L"),
        height=image.height,
        width=image.width,
        strength=strength,
        num_inference_steps=2,
        guidance_scale=5.0,
        generator=generator,
    )
    return output.images[0]
