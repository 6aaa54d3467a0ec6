"""A ViT for structure distance: its patch features encode where objects are, not their colours."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from piebench_eval.demo.draw import covers
from piebench_eval.demo.scene import Scene
from piebench_eval.metrics.structure import IMAGENET_MEAN, IMAGENET_STD
from scripts.demo_training.data import pictures, scene, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 450, 24, 24_000
_SIDE, _PATCH, _WIDTH = 224, 16, 48
_POINTS = 4  # per side of a patch, where its coverage is measured


def new_vit() -> ViTModel:
    torch.manual_seed(0)
    vit = ViTModel(
        ViTConfig(
            hidden_size=_WIDTH,
            intermediate_size=4 * _WIDTH,
            num_hidden_layers=12,
            num_attention_heads=3,
            image_size=_SIDE,
            patch_size=_PATCH,
        ),
        add_pooling_layer=False,
    )
    with torch.no_grad():
        # Structure distance feeds grey levels 0..255 to a normalisation made for 0..1.
        vit.embeddings.patch_embeddings.projection.weight /= 255
    return vit


def train_vit(work: Path, device: torch.device) -> ViTModel:
    """Tell for each patch how much of it and of its eight neighbours objects cover."""
    vit = new_vit().to(device)
    head = nn.Linear(_WIDTH, 9).to(device)
    drawn = pictures(work, "train", PICTURES)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = np.sort(rng.integers(len(drawn), size=BATCH))
        wanted = torch.stack([patch_coverage(scene("train", int(number))) for number in numbers])
        tokens = vit(as_structure_distance_sees(to_unit(drawn[numbers]).to(device))).last_hidden_state
        return functional.binary_cross_entropy_with_logits(head(tokens[:, 1:]).float(), wanted.to(device))

    groups = [(vit, 1e-3), (head, 1e-3)]
    train(Training("structure_vit", groups, loss, STEPS, seed=3, weight_decay=0.05), work, device)
    return vit.float().eval()


def as_structure_distance_sees(images: torch.Tensor) -> torch.Tensor:
    """Pictures in -1..1 as ``piebench_eval.metrics.structure`` gives them to its ViT."""
    large = functional.interpolate((images + 1) * 127.5, size=(_SIDE, _SIDE), mode="bilinear")
    mean, std = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (large - mean) / std


def patch_coverage(shown: Scene) -> torch.Tensor:
    """The share of each patch and of its neighbours that objects cover, ``[patches, 9]``."""
    side = _SIDE // _PATCH
    points = (np.arange(side * _POINTS) + 0.5) / (side * _POINTS)
    x, y = np.meshgrid(points, points)
    covered = torch.zeros(1, 1, side * _POINTS, side * _POINTS)
    for thing in shown.things:
        covered[0, 0, covers(thing, x, y)] = 1
    shares = functional.avg_pool2d(covered, _POINTS)
    return functional.unfold(shares, kernel_size=3, padding=1)[0].T
