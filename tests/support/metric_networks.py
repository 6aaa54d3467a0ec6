"""Random networks in place of DINO, CLIP and SqueezeNet."""

from pathlib import Path

import torchvision
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    ViTConfig,
    ViTModel,
)

from piebench_eval.metrics.networks.metric_models import MetricModels
from tests.support.tiny_model import save_tokenizer
from tests.support.weights import fill


def save_metric_networks(folder: Path) -> MetricModels:
    """Write all three and say where they are."""
    vit = ViTModel(
        ViTConfig(
            hidden_size=24,
            num_hidden_layers=12,
            num_attention_heads=3,
            intermediate_size=48,
            image_size=224,
            patch_size=16,
        ),
        add_pooling_layer=False,
    )
    fill(vit, seed=4).save_pretrained(folder / "vit")
    save_clip(folder / "clip", seed=5)
    squeezenet = fill(torchvision.models.squeezenet1_1(weights=None).features, seed=6)
    save_file(squeezenet.state_dict(), folder / "squeezenet.safetensors")
    return MetricModels(str(folder / "vit"), str(folder / "clip"), str(folder / "squeezenet.safetensors"))


def save_clip(folder: Path, seed: int) -> Path:
    """Write a CLIP with its tokenizer and picture processor."""
    save_tokenizer(folder)
    shape = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    text = CLIPTextConfig(vocab_size=1000, eos_token_id=2, bos_token_id=0, pad_token_id=1, **shape)
    vision = CLIPVisionConfig(image_size=224, patch_size=32, **shape)
    clip = CLIPModel(
        CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    )
    fill(clip, seed=seed).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder
