"""Models whose tensors have no data: what they take is counted, not spent."""

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTokenizer

from piebench_eval.demo.embedded import DEMO, locate
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.sd1 import StableDiffusion
from piebench_eval.models.sdxl import StableDiffusionXL
from scripts.speed.models import Size, new_text_encoder, new_unet, new_vae
from scripts.speed.sdxl import XLSize, new_xl_text_encoders, new_xl_unet

META = torch.device("meta")


def empty_model(size: Size | XLSize, dtype: torch.dtype) -> DiffusionModel:
    """A model of a size; UNet and text encoders of a number format, the autoencoder in float32."""
    tokenizer = CLIPTokenizer.from_pretrained(locate("model", DEMO), subfolder="tokenizer")
    model: DiffusionModel
    with META:
        common = {"vae": new_vae(size), "tokenizer": tokenizer, "device": META}
        if isinstance(size, XLSize):
            one, other = new_xl_text_encoders(size)
            model = StableDiffusionXL(
                unet=new_xl_unet(size),
                text_encoder=one,
                text_encoder_2=other,
                tokenizer_2=tokenizer,
                **common,
            )
        else:
            model = StableDiffusion(unet=new_unet(size), text_encoder=new_text_encoder(size), **common)
    for network in (model.denoiser, *model.text_encoders.values()):
        torch.nn.Module.to(network, dtype)  # diffusers' own warns of weights, and there are none
    return model


def empty_texts(unet: UNet2DConditionModel, rows: int, tokens: int = 77) -> Conditioning:
    """What so many rows of a UNet are conditioned on, in float32."""
    config = unet.config
    text = torch.empty(rows, tokens, config.cross_attention_dim, device=META)
    if config.addition_embed_type is None:
        return Conditioning(text)
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    sizes = torch.empty(rows, 6, device=META)
    return Conditioning(text, torch.empty(rows, pooled, device=META), {"time_ids": sizes})
