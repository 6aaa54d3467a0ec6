"""SqueezeNet features for LPIPS, trained to classify the objects of drawings."""

from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional

from piebench_eval.demo.scene import BACKGROUND_COLORS, MATERIALS, OBJECT_COLORS, PATTERNS, SHAPES, Scene
from scripts.demo_training.data import pictures, scene, to_unit
from scripts.demo_training.loop import Training, train

STEPS, BATCH, PICTURES = 1000, 48, 24_000
_THINGS = [(color, shape) for color in OBJECT_COLORS for shape in SHAPES]
_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the lpips package, for pictures in -1..1


def train_squeezenet(work: Path, device: torch.device) -> nn.Module:
    """Train ``squeezenet1_1().features`` as the front of a classifier with many yes-or-no answers."""
    torch.manual_seed(0)
    features = torchvision.models.squeezenet1_1(weights=None).features.to(device)
    head = nn.Linear(512, len(attributes(scene("train", 0)))).to(device)
    drawn = pictures(work, "train", PICTURES)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (_MEAN, _STD))

    def loss(rng: np.random.Generator) -> torch.Tensor:
        numbers = np.sort(rng.integers(len(drawn), size=BATCH))
        images = to_unit(drawn[numbers]).to(device)
        wanted = torch.stack([attributes(scene("train", int(number))) for number in numbers]).to(device)
        pooled = features((images - mean) / std).mean(dim=(2, 3))
        return functional.binary_cross_entropy_with_logits(head(pooled).float(), wanted)

    train(Training("squeezenet", [(features, 5e-4), (head, 5e-4)], loss, STEPS, seed=4), work, device)
    return features.float().eval()


def attributes(shown: Scene) -> torch.Tensor:
    """1 for each statement that is true of a scene."""
    things = shown.things
    return torch.tensor(
        [
            *((color, shape) in [(thing.color, thing.shape) for thing in things] for color, shape in _THINGS),
            *(material in [thing.material for thing in things] for material in MATERIALS),
            any(thing.tilted for thing in things),
            any(thing.dot for thing in things),
            *(shown.background == color for color in BACKGROUND_COLORS),
            *(shown.pattern == pattern for pattern in PATTERNS),
            shown.sketch,
        ],
        dtype=torch.float32,
    )
