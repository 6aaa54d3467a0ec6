"""A Stable Diffusion 1.x-shaped model of 128 pixels with random weights, in diffusers' format."""

import json
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
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
    save_tokenizer(folder / "tokenizer")
    vocabulary = len(json.loads((folder / "tokenizer" / "vocab.json").read_text()))
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=32,
            eos_token_id=2,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(width // 2, width, width, width),
        layers_per_block=layers,
        attention_head_dim=2,
        cross_attention_dim=32,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=128,
    )
    tame(fill(unet, seed=1), fill(vae, seed=3))
    fill(text_encoder, seed=2).save_pretrained(folder / "text_encoder")
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    sd_scheduler().save_pretrained(folder / "scheduler")
    return folder


def save_tokenizer(folder: Path, words: str = WORDS) -> None:
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
    CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    ).save_pretrained(folder)
