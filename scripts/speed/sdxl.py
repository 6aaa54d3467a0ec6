"""Networks of Stable Diffusion XL's structure with random weights."""

import re
from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from scripts.demo_training.unet import sd_scheduler


@dataclass(frozen=True)
class TextSize:
    """A text encoder's channels, layers and heads; SDXL reads the states before the last layer."""

    width: int
    layers: int
    heads: int


@dataclass(frozen=True)
class XLSize:
    """Channels, transformer layers and heads of the UNet's three levels, and what goes with them.

    The first level has no attention. ``time_width`` is of each of the six numbers of ``time_ids``.
    """

    unet: tuple[int, int, int]
    transformer_layers: tuple[int, int, int]
    heads: tuple[int, int, int]
    groups: int
    time_width: int
    text: TextSize
    text_2: TextSize
    vae: tuple[int, int, int, int]
    vae_groups: int
    side: int
    layers: int = 2
    scaling: float = 0.13025


def new_xl_unet(size: XLSize) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=size.side // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=size.unet,
        layers_per_block=size.layers,
        transformer_layers_per_block=size.transformer_layers,
        attention_head_dim=size.heads,
        cross_attention_dim=size.text.width + size.text_2.width,
        norm_num_groups=size.groups,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=size.time_width,
        projection_class_embeddings_input_dim=size.text_2.width + 6 * size.time_width,
    ).eval()


@torch.no_grad()
def _heed_words(unet: UNet2DConditionModel) -> None:
    """Let words reach the output of new weights as far as in Stable Diffusion 1.x: several times as far.

    There is no attention on the finest level, and linear projections begin with weaker weights.
    """
    for name, parameter in unet.named_parameters():
        if re.search(r"(attn2\.to_v|attentions\.\d+\.proj_out)\.weight", name):
            parameter.mul_(3)


def new_xl_text_encoders(
    size: XLSize, vocabulary: int = 49408
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Both text encoders, which know so many tokens, by default CLIP's."""

    def config(text: TextSize, activation: str) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=text.width,
            intermediate_size=4 * text.width,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            projection_dim=text.width,
            hidden_act=activation,
            # As in SDXL's own files: 2 makes transformers look for the highest token, which is CLIP's end.
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )

    return (
        CLIPTextModel(config(size.text, "quick_gelu")).eval(),
        CLIPTextModelWithProjection(config(size.text_2, "gelu")).eval(),
    )


def xl_scheduler() -> EulerDiscreteScheduler:
    """SDXL base's: Stable Diffusion 1.x's noise schedule, which Euler's method samples."""
    return EulerDiscreteScheduler.from_config(sd_scheduler().config, timestep_spacing="leading")


def new_xl_pipeline(
    size: XLSize, vae: AutoencoderKL, tokenizer: CLIPTokenizer, tokenizer_2: CLIPTokenizer
) -> StableDiffusionXLPipeline:
    """A pipeline in diffusers' form around an autoencoder; the second tokenizer pads with ``!``."""
    unet = new_xl_unet(size)
    _heed_words(unet)
    text_encoder, text_encoder_2 = new_xl_text_encoders(size, len(tokenizer))
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=unet,
        scheduler=xl_scheduler(),
        add_watermarker=False,
    )
