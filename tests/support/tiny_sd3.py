"""Models of 128 pixels in Stable Diffusion 3's structure with random weights, in diffusers' format."""

import re
import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from tests.support.tiny_model import WORDS, new_vae, save_tokenizer
from tests.support.weights import fill

WIDTH = 48
"""Of T5 and so of the transformer's text; both CLIPs together have less, and zeros beside them."""


def save_tiny_sd3(
    folder: Path, layers: int = 3, *, newer: bool = False, t5: bool = True, side: int = 128
) -> Path:
    """Write the model; 16x16 latents, and attention over 8x8 patches and the text.

    Args:
        folder: where to.
        layers: blocks of the transformer; the last of them leaves the text.
        newer: as Stable Diffusion 3.5 medium: normed queries and keys, and a second attention over the
            picture alone in the first block.
        t5: whether it has T5.
        side: of the pictures, in pixels; larger ones have no positions.
    """
    tokenizer = save_tokenizer(folder / "tokenizer")
    tokenizer_2 = save_tokenizer(folder / "tokenizer_2", pad="!")
    tokenizer_3 = new_t5_tokenizer() if t5 else None
    encoders = new_clips(len(tokenizer))
    pipeline = StableDiffusion3Pipeline(
        transformer=tame(fill(new_transformer(layers, side, newer=newer), seed=1)),
        vae=fill(new_sd3_vae(), seed=2),
        text_encoder=fill(encoders[0], seed=3),
        text_encoder_2=fill(encoders[1], seed=4),
        text_encoder_3=fill(new_t5(len(tokenizer_3)), seed=5) if t5 else None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        tokenizer_3=tokenizer_3,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipeline.save_pretrained(folder)
    return folder


def new_transformer(layers: int = 3, side: int = 128, *, newer: bool = False) -> SD3Transformer2DModel:
    """A transformer; queries and keys of the newer one are normed, and its first block attends twice."""
    options = {"dual_attention_layers": (0,), "qk_norm": "rms_norm"} if newer else {}
    return SD3Transformer2DModel(
        sample_size=side // 8,
        pos_embed_max_size=side // 16,
        in_channels=16,
        out_channels=16,
        num_layers=layers,
        attention_head_dim=16,
        num_attention_heads=2,
        caption_projection_dim=32,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=16 + 24,
        **options,
    )


def new_sd3_vae() -> AutoencoderKL:
    return new_shifted_vae(scale=1.5305, shift=0.0609)


def new_shifted_vae(scale: float, shift: float) -> AutoencoderKL:
    """An autoencoder of 16 channels, as Stable Diffusion 3's and FLUX.1's."""
    return new_vae(
        latent_channels=16,
        scaling_factor=scale,
        shift_factor=shift,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def new_clips(vocabulary: int) -> list[CLIPTextModelWithProjection]:
    """Both text encoders of CLIP, which know so many tokens."""
    return [
        CLIPTextModelWithProjection(clip_config(vocabulary, width, layers=3, activation=activation))
        for width, activation in ((16, "quick_gelu"), (24, "gelu"))
    ]


def clip_config(vocabulary: int, width: int, layers: int, activation: str = "quick_gelu") -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        projection_dim=width,
        hidden_act=activation,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )


def new_t5(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=WIDTH,
            d_kv=16,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
        )
    )


def new_t5_tokenizer() -> T5Tokenizer:
    """A tokenizer that knows letters and a few words; other words become several tokens."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -8.0) for letter in ("▁", *string.ascii_letters, *string.digits, *string.punctuation)]
    words = [(f"▁{word}", -4.0) for word in dict.fromkeys(WORDS.split())]
    return T5Tokenizer(vocab=[*special, *letters, *words], extra_ids=0, model_max_length=512)


@torch.no_grad()
def tame(transformer: SD3Transformer2DModel) -> SD3Transformer2DModel:
    """Keep a random transformer from being chaotic: weak residual branches, and velocities below latents."""
    for name, parameter in transformer.named_parameters():
        if re.search(r"(to_out\.0|to_add_out|net\.2|^proj_out)\.weight", name):
            parameter.mul_(0.5)
        elif "text_embedder.linear_2" in name:  # else pooled embeddings say all
            parameter.mul_(0.3)
    return transformer
