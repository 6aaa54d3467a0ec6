"""Train a small CLIP, for the CLIP score; its text model initialises the text encoder."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from piebench_eval.demo.draw import SIDE
from scripts.demo_training.data import pictures, say, scene, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 1500, 96, 24_000
WIDTH = 96
_NOISE = 0.06


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    torch.manual_seed(0)
    shape = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": 4,
        "projection_dim": 64,
    }
    text = {
        **shape,
        "vocab_size": len(tokenizer),
        "num_hidden_layers": 2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shape, "image_size": SIDE, "patch_size": 8, "num_hidden_layers": 3}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def train_clip(work: Path, tokenizer: CLIPTokenizer, device: torch.device) -> CLIPModel:
    """Contrast drawings with their captions (Radford et al., ICML 2021)."""
    clip = new_clip(tokenizer).to(device)
    drawn = pictures(work, "train", PICTURES)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = np.sort(rng.choice(len(drawn), size=BATCH, replace=False))
        images = to_unit(drawn[numbers])
        # Edits carry the autoencoder's softness and noise, which drawings do not.
        if rng.random() < 0.5:
            images = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), "replicate"), 3, stride=1)
        images += rng.uniform(0, _NOISE) * torch.randn_like(images)
        captions = [say(scene("train", int(number)), rng) for number in numbers]
        return contrast(clip, images.to(device), captions, tokenizer)[0]

    train(Training("clip", [(clip, 1.5e-3)], loss, STEPS, seed=2, weight_decay=0.05), work, device)
    return clip.float().eval()


def contrast(
    clip: CLIPModel, images: torch.Tensor, captions: list[str], tokenizer: CLIPTokenizer
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrastive loss and similarities ``[captions, images]`` of pairs; equal captions count as right."""
    tokens = tokenizer(captions, padding=True, return_tensors="pt").to(images.device)
    similarity = clip(**tokens, pixel_values=images).logits_per_text.float()
    same = torch.tensor([[one == other for other in captions] for one in captions], device=images.device)
    right = same / same.sum(dim=1, keepdim=True)
    loss = functional.cross_entropy(similarity, right) + functional.cross_entropy(similarity.T, right.T)
    return loss / 2, similarity


def save_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the model with its tokenizer and an image processor that leaves 64x64 pictures as they are."""
    clip.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(folder)
