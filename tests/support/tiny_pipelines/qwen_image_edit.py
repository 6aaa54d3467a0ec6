"""Qwen-Image-Edit with random weights, and its pipeline called by hand."""

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImageTransformer2DModel,
)
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from piebench_eval.data.sample import Sample
from tests.support.weights import fill

WIDTH, LATENTS = 16, 4
SPECIAL = ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")


def save(folder: Path) -> Path:
    """Write the pipeline."""
    tokenizer = _new_tokenizer()
    images = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=56 * 56)
    QwenImageEditPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=fill(_new_vae(), seed=2),
        text_encoder=fill(_new_text_encoder(tokenizer), seed=3),
        tokenizer=tokenizer,
        processor=Qwen2VLProcessor(images, tokenizer, Qwen2VLVideoProcessor()),
        transformer=fill(_new_transformer(), seed=1),
    ).save_pretrained(folder)
    return folder


def by_hand(folder: Path, image: Image.Image, sample: Sample, generator: torch.Generator) -> Any:
    """The edit at scale 5, as a PIL image."""
    pipeline = QwenImageEditPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        image,
        sample.instruction,
        negative_prompt=" ",
        true_cfg_scale=5.0,
        height=image.height,
        width=image.width,
        num_inference_steps=2,
        generator=generator,
    )
    return output.images[0]


def _new_tokenizer() -> Qwen2Tokenizer:
    """A tokenizer of bytes and the marks of the pipeline's template."""
    symbols = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    tokenizer = Qwen2Tokenizer(vocab={symbol: number for number, symbol in enumerate(symbols)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in SPECIAL]})
    return tokenizer


def _new_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    text = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }
    vision = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    marks = {"image": "image_pad", "video": "video_pad"}
    marks |= {name: name for name in ("vision_start", "vision_end")}
    ids = {
        f"{field}_token_id": tokenizer.convert_tokens_to_ids(f"<|{mark}|>") for field, mark in marks.items()
    }
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))


def _new_vae() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=LATENTS,
        dim_mult=[1, 2, 2, 2],
        num_res_blocks=1,
        latents_mean=[0.0] * LATENTS,
        latents_std=[1.0] * LATENTS,
    )


def _new_transformer() -> QwenImageTransformer2DModel:
    return QwenImageTransformer2DModel(
        in_channels=4 * LATENTS,
        out_channels=LATENTS,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
