"""FLUX.1 Kontext with random weights, and its pipeline called by hand."""

from pathlib import Path
from typing import Any

import torch
from diffusers import FluxKontextPipeline, FluxPipeline
from PIL import Image

from piebench_eval.data.sample import Sample
from tests.support.tiny_flux import save_tiny_flux


def save(folder: Path) -> Path:
    """Write the pipeline, which has the parts of FLUX.1."""
    parts = FluxPipeline.from_pretrained(save_tiny_flux(folder / "flux")).components
    FluxKontextPipeline(**parts).save_pretrained(folder / "kontext")
    return folder / "kontext"


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit at guidance 5 in the picture's own size, as a PIL image."""
    pipeline = FluxKontextPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        image,
        sample.instruction,
        guidance_scale=5.0,
        height=image.height,
        width=image.width,
        max_area=image.height * image.width,
        _auto_resize=False,
        num_inference_steps=2,
        generator=generator,
    )
    return output.images[0]
