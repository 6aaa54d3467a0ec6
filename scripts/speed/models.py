"""Models with random weights, which do not change speed or memory: Stable Diffusion 1.x and XL."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from piebench_eval.demo.embedded import WEIGHTS
from scripts.demo_training.unet import sd_scheduler
from scripts.speed.sdxl import TextSize, XLSize, new_xl_pipeline

TOKENIZER = WEIGHTS / "stable_diffusion" / "tokenizer"


@dataclass(frozen=True)
class Size:
    """Channels of the four levels of UNet and autoencoder in Stable Diffusion 1.x, and what goes with it."""

    unet: tuple[int, int, int, int]
    heads: int
    groups: int
    text: int
    text_layers: int
    text_heads: int
    vae: tuple[int, int, int, int]
    vae_groups: int
    side: int = 512
    scaling: float = 0.18215


SIZES: dict[str, Size | XLSize] = {
    "tiny": Size((32, 64, 64, 64), 2, 8, 32, 5, 4, (16, 16, 32, 32), 8),
    "sd1": Size((320, 640, 1280, 1280), 8, 32, 768, 12, 12, (128, 256, 512, 512), 32),
    "tiny-sdxl": XLSize(
        unet=(32, 64, 64),
        transformer_layers=(1, 2, 2),
        heads=(1, 2, 4),
        groups=8,
        time_width=16,
        text=TextSize(32, 5, 4),
        text_2=TextSize(48, 5, 4),
        vae=(16, 16, 32, 32),
        vae_groups=8,
        side=512,
    ),
    "sdxl": XLSize(
        unet=(320, 640, 1280),
        transformer_layers=(1, 2, 10),
        heads=(5, 10, 20),
        groups=32,
        time_width=256,
        text=TextSize(768, 12, 12),
        text_2=TextSize(1280, 32, 20),
        vae=(128, 256, 512, 512),
        vae_groups=32,
        side=1024,
    ),
}
"""``sd1`` is Stable Diffusion v1's own, with 860 million weights in the UNet, and ``sdxl`` SDXL base's, with
2.6 billion. All are made for 512 pixels, but ``sdxl`` for 1024."""


def new_unet(size: Size) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=size.side // 8,
        block_out_channels=size.unet,
        layers_per_block=2,
        attention_head_dim=size.heads,
        cross_attention_dim=size.text,
        norm_num_groups=size.groups,
    ).eval()


def new_vae(size: Size | XLSize) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=size.vae,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=size.vae_groups,
        sample_size=size.side,
        scaling_factor=size.scaling,
    ).eval()


def new_text_encoder(size: Size, vocabulary: int = 49408) -> CLIPTextModel:
    """A text encoder that knows so many tokens, by default CLIP's."""
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=size.text,
        intermediate_size=4 * size.text,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads,
        projection_dim=size.text,
    )
    return CLIPTextModel(config).eval()


def save_model(folder: Path, size: Size | XLSize) -> Path:
    """Write a model whose weights are random, and tame enough that rounding errors stay small."""
    torch.manual_seed(0)
    pipeline = _new_pipeline(size)
    tame(pipeline.unet, pipeline.vae)
    pipeline.save_pretrained(folder, max_shard_size="20GB")  # as published: each network in one file
    return folder


def _new_pipeline(size: Size | XLSize) -> DiffusionPipeline:
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    if isinstance(size, XLSize):
        tokenizer_2 = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
        return new_xl_pipeline(size, new_vae(size), tokenizer, tokenizer_2)
    return StableDiffusionPipeline(
        unet=new_unet(size),
        vae=new_vae(size),
        text_encoder=new_text_encoder(size, len(tokenizer)),
        tokenizer=tokenizer,
        scheduler=sd_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@torch.no_grad()
def tame(unet: Any, vae: Any) -> None:
    """Keep random networks from being chaotic, and their attention from being flat.

    Weak residual branches keep rounding errors small through many steps; peaked cross-attention makes words
    matter, and a blend's mask a part of the picture; latents get unit size.
    """
    for name, parameter in unet.named_parameters():
        if re.search(r"attn2\.to_[qk]\.weight", name):
            parameter.mul_(3)
        elif re.search(r"(conv2|to_out\.0|ff\.net\.2)\.weight", name):
            parameter.mul_(0.3)
    unet.conv_out.weight.mul_(0.2)
    vae.quant_conv.weight[:4] *= 10
