"""A CLIP image encoder with random weights: 197 tokens, as wide as the small models' texts."""

from pathlib import Path

from transformers import CLIPVisionConfig, CLIPVisionModel

from piebench_eval.inversions.stylediffusion import StyleDiffusionSettings
from piebench_eval.models.image_encoder import load_image_encoder
from tests.support.weights import fill

SEED = 11


def new_image_encoder(width: int = 32) -> CLIPVisionModel:
    config = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=224,
        patch_size=16,
    )
    return CLIPVisionModel(config)


def save_tiny_image_encoder(folder: Path, width: int = 32) -> Path:
    """Write the encoder in transformers' format."""
    fill(new_image_encoder(width), SEED).save_pretrained(folder)
    return folder


def use_for_pictures(model, folder: Path) -> None:
    """Have a model read pictures by this encoder where an inversion names none."""
    by_default = StyleDiffusionSettings().image_encoder
    model.image_encoders[by_default] = load_image_encoder(str(folder), model.device)
