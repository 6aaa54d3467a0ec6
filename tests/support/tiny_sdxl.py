"""A model of 128 pixels in Stable Diffusion XL's structure with random weights, in diffusers' format."""

from pathlib import Path

from scripts.speed.models import tame
from scripts.speed.sdxl import TextSize, XLSize, new_xl_pipeline
from tests.support.tiny_model import new_vae, save_tokenizer
from tests.support.weights import fill


def save_tiny_sdxl(folder: Path, layers: int = 1, width: int = 32) -> Path:
    """Write the model; 16x16 latents, and attention at 8x8 and 4x4.

    Args:
        folder: where to.
        layers: of each of the UNet's blocks; SDXL's own has 2.
        width: channels of the UNet's levels; its first has half as many, and no attention.
    """
    tokenizer = save_tokenizer(folder / "tokenizer")
    tokenizer_2 = save_tokenizer(folder / "tokenizer_2", pad="!")
    size = XLSize(
        unet=(width // 2, width, width),
        transformer_layers=(1, 1, 2),  # levels differ, so that a mistaken one shows
        heads=(1, 2, 4),
        groups=4,
        time_width=8,
        text=TextSize(16, 3, 2),
        text_2=TextSize(24, 3, 2),
        vae=(8, 8, 16, 16),
        vae_groups=4,
        side=128,
        layers=layers,
    )
    pipeline = new_xl_pipeline(size, new_vae(scaling_factor=size.scaling), tokenizer, tokenizer_2)
    for seed, part in enumerate(("unet", "vae", "text_encoder", "text_encoder_2"), start=1):
        fill(getattr(pipeline, part), seed)
    tame(pipeline.unet, pipeline.vae)
    pipeline.save_pretrained(folder)
    return folder
