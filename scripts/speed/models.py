"""Stable Diffusion 1.x models with random weights, which do not change speed or memory."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from piebench_eval.demo.embedded import WEIGHTS
from scripts.demo_training.unet import sd_scheduler

TOKENIZER = WEIGHTS / "stable_diffusion" / "tokenizer"


@dataclass(frozen=True)
class Size:
    """Channels of the UNet's and the autoencoder's four levels, and what goes with them."""

    unet: tuple[int, int, int, int]
    heads: int
    groups: int
    text: int
    text_layers: int
    text_heads: int
    vae: tuple[int, int, int, int]
    vae_groups: int


SIZES = {
    "tiny": Size((32, 64, 64, 64), 2, 8, 32, 5, 4, (16, 16, 32, 32), 8),
    "sd1": Size((320, 640, 1280, 1280), 8, 32, 768, 12, 12, (128, 256, 512, 512), 32),
}
"""``sd1`` is Stable Diffusion v1's own: 860 million weights in the UNet. Both are made for 512 pixels."""


def new_unet(size: Size) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=size.unet,
        layers_per_block=2,
        attention_head_dim=size.heads,
        cross_attention_dim=size.text,
        norm_num_groups=size.groups,
    ).eval()


def new_vae(size: Size) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=size.vae,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=size.vae_groups,
        sample_size=512,
        scaling_factor=0.18215,
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


def save_model(folder: Path, size: Size) -> Path:
    """Write a model whose weights are random, and tame enough that rounding errors stay small."""
    torch.manual_seed(0)
    unet, vae = new_unet(size), new_vae(size)
    tame(unet, vae)
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    vocabulary = len(CLIPTokenizer.from_pretrained(TOKENIZER))
    new_text_encoder(size, vocabulary).save_pretrained(folder / "text_encoder")
    sd_scheduler().save_pretrained(folder / "scheduler")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for file in TOKENIZER.iterdir():
        shutil.copy(file, tokenizer)
    return folder


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
