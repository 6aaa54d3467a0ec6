"""A ViT for structure distance: its patches know the outline they lie on, whatever its colour."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from piebench_eval.demo.draw import covers
from piebench_eval.demo.scene import SHAPES, Scene
from piebench_eval.metrics.structure import IMAGENET_MEAN, IMAGENET_STD
from scripts.demo_training.data import pictures, scene, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 500, 24, 24_000
_SIDE, _PATCH, _WIDTH = 224, 16, 48


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
    """Classify each patch by the shape that covers its centre, and the whole by the number of objects."""
    vit = new_vit().to(device)
    patches, count = nn.Linear(_WIDTH, 1 + len(SHAPES)).to(device), nn.Linear(_WIDTH, 3).to(device)
    drawn = pictures(work, "train", PICTURES)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = np.sort(rng.integers(len(drawn), size=BATCH))
        scenes = [scene("train", int(number)) for number in numbers]
        tokens = vit(as_structure_distance_sees(to_unit(drawn[numbers]).to(device))).last_hidden_state
        labels = torch.from_numpy(np.stack([patch_labels(shown) for shown in scenes])).to(device)
        counts = torch.tensor([len(shown.things) for shown in scenes], device=device)
        return functional.cross_entropy(patches(tokens[:, 1:]).float().mT, labels) + functional.cross_entropy(
            count(tokens[:, 0]).float(), counts
        )

    groups = [(vit, 1e-3), (patches, 1e-3), (count, 1e-3)]
    train(Training("structure_vit", groups, loss, STEPS, seed=3, weight_decay=0.05), work, device)
    return vit.float().eval()


def as_structure_distance_sees(images: torch.Tensor) -> torch.Tensor:
    """Pictures in -1..1 as ``piebench_eval.metrics.structure`` gives them to its ViT."""
    large = functional.interpolate((images + 1) * 127.5, size=(_SIDE, _SIDE), mode="bilinear")
    mean, std = (
        torch.tensor(values, device=images.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (large - mean) / std


def patch_labels(shown: Scene) -> np.ndarray:
    """For each patch 0 for background, or 1 + the index of the shape on its centre."""
    centres = (np.arange(_SIDE // _PATCH) + 0.5) * _PATCH / _SIDE
    x, y = np.meshgrid(centres, centres)
    labels = np.zeros_like(x, dtype=np.int64)
    for thing in shown.things:
        labels[covers(thing, x, y)] = 1 + SHAPES.index(thing.shape)
    return labels.ravel()
