"""Stable Diffusion 1.x-shaped models of 128 pixels with random weights, in diffusers' format."""

import json
from pathlib import Path
from typing import Any

from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scripts.demo_training.unet import sd_scheduler
from scripts.speed.models import tame
from tests.support.weights import fill

WORDS = "a photo of an cat dog mirror sitting next to in the round square cake coffee cup astronaut"


def save_tiny_model(folder: Path, layers: int = 2, width: int = 32) -> Path:
    """Write the model; 16x16 latents, so that a blend's maps are 4x4.

    Args:
        folder: where to.
        layers: of each of the UNet's blocks; 1 is the least in which every method finds its own.
        width: channels of the UNet's levels; its first has half as many.
    """
    return save_pipeline(StableDiffusionPipeline, folder, new_unet(layers, width), sd_scheduler())


def save_tiny_instaflow(folder: Path, layers: int = 1, width: int = 32) -> Path:
    """Write an InstaFlow model, whose UNet's output is taken as the velocity data - noise.

    The velocity is half as large as latents: more would keep a single step's fixed-point inversion from
    converging.
    """
    save_pipeline(StableDiffusionPipeline, folder, new_unet(layers, width), sd_scheduler(), gain=5)
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "RectifiedFlowPipeline"}))
    return folder


def save_tiny_lcm(folder: Path, layers: int = 1, width: int = 32) -> Path:
    """Write a latent consistency model, whose UNet takes the guidance scale as an embedding."""
    unet = new_unet(layers, width, time_cond_proj_dim=256)
    return save_pipeline(
        LatentConsistencyModelPipeline, folder, unet, LCMScheduler(original_inference_steps=50)
    )


def new_unet(layers: int, width: int, **options: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(width // 2, width, width, width),
        layers_per_block=layers,
        attention_head_dim=2,
        cross_attention_dim=32,
        norm_num_groups=4,
        **options,
    )


def new_vae(latent_channels: int = 4, **options: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=128,
        **options,
    )


def save_pipeline(
    pipeline: type[DiffusionPipeline],
    folder: Path,
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    gain: float = 1,
) -> Path:
    """Write a pipeline whose other parts are always the same; ``gain`` strengthens what the UNet gives."""
    tokenizer = save_tokenizer(folder / "tokenizer")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=32,
            eos_token_id=2,
        )
    )
    vae = new_vae()
    tame(fill(unet, seed=1), fill(vae, seed=3))
    unet.conv_out.weight.data *= gain
    pipeline(
        unet=unet,
        vae=vae,
        text_encoder=fill(text_encoder, seed=2),
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, words: str = WORDS, pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """Write a CLIP tokenizer that knows bytes and a few words; other words become several tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = sorted(ByteLevel.alphabet())
    vocabulary = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    merges: list[str] = []
    for word in words.split():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges.append(f"{pieces[0]} {pieces[1]}")
            pieces[:2] = ["".join(pieces[:2])]
            vocabulary.append(pieces[0])
    vocabulary = [*dict.fromkeys(vocabulary), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77, pad_token=pad
    )
    tokenizer.save_pretrained(folder)
    return tokenizer
