"""Models of 128 pixels in FLUX.1's structure with random weights, in diffusers' format."""

import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel

from tests.support.tiny_model import save_tokenizer
from tests.support.tiny_sd3 import WIDTH, clip_config, new_shifted_vae, new_t5, new_t5_tokenizer
from tests.support.weights import fill

POOLED = 32
SCHEDULER = {"use_dynamic_shifting": True, "shift": 3.0, "base_image_seq_len": 16, "max_image_seq_len": 64}
"""As FLUX.1-dev's, whose sequences are 64 times as long: 4096 positions of 1024 pixels are 64 of 128."""


def save_tiny_flux(folder: Path, *, schnell: bool = False) -> Path:
    """Write the model; 16x16 latents, and attention over the text and 8x8 patches.

    Args:
        folder: where to.
        schnell: as FLUX.1-schnell: no guidance scale as an input, and no shift by the picture's size.
    """
    tokenizer, tokenizer_2 = save_tokenizer(folder / "tokenizer"), new_t5_tokenizer()
    own = {"use_dynamic_shifting": False, "shift": 1.0} if schnell else {}
    FluxPipeline(
        transformer=tame(fill(new_flux(guidance_embeds=not schnell), seed=1)),
        vae=fill(new_flux_vae(), seed=2),
        text_encoder=fill(new_clip(len(tokenizer)), seed=3),
        text_encoder_2=fill(new_t5(len(tokenizer_2)), seed=5),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        scheduler=FlowMatchEulerDiscreteScheduler(**{**SCHEDULER, **own}),
    ).save_pretrained(folder)
    return folder


def new_flux(*, guidance_embeds: bool = True) -> FluxTransformer2DModel:
    """A transformer of one double and two single blocks."""
    return FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )


def new_flux_vae() -> AutoencoderKL:
    return new_shifted_vae(scale=0.3611, shift=0.1159)


def new_clip(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(clip_config(vocabulary, POOLED, layers=2))


@torch.no_grad()
def tame(transformer: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """Keep a random transformer from being chaotic: weak residual branches, and velocities below latents.

    What a single block attends to counts as much as what it computes place by place.
    """
    for name, parameter in transformer.named_parameters():
        if re.search(r"(to_out\.0|to_add_out|net\.2|proj_out)\.weight", name):
            parameter.mul_(0.5)
            if name.startswith("single"):
                parameter[:, : transformer.inner_dim].mul_(24)
        elif "text_embedder.linear_2" in name:  # else pooled embeddings say all
            parameter.mul_(0.3)
    return transformer
