"""Structure distance (Tumanyan et al., CVPR 2022) and DINO similarity (Ruiz et al., CVPR 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from piebench_eval.metrics.base import Metric
from piebench_eval.metrics.networks.dino import SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.metrics.protocol import StructureRules
    from piebench_eval.metrics.scoring_batch import ScoringBatch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_PIL_FILTERS = {"pil_bilinear": Image.Resampling.BILINEAR, "pil_bicubic": Image.Resampling.BICUBIC}


def self_similarity(tokens: torch.Tensor) -> torch.Tensor:
    r"""Cosine similarity between all pairs of tokens.

    $$S_{ij} = \frac{k_i \cdot k_j}{\lVert k_i \rVert \, \lVert k_j \rVert}$$

    Args:
        tokens: ``[..., tokens, width]``; keys of all heads, concatenated, in the published protocol.

    Returns:
        Similarities ``[..., tokens, tokens]``.

    >>> import torch
    >>> self_similarity(torch.tensor([[2.0, 0.0], [0.0, 3.0]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    directions = tokens / tokens.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    return directions @ directions.transpose(-1, -2)


def structure_distances(edits: ScoringBatch) -> list[float]:
    r"""Mean squared difference of the self-similarities of edit and source (Tumanyan et al., equation 3).

    $$d = \frac{1}{n^2} \sum_{i,j} \bigl( S_{ij}(y) - S_{ij}(x) \bigr)^2$$

    $S$ is the self-similarity of the $n$ keys of DINO ViT-B/8's last layer, $x$ the source and $y$ the edit.
    The whole image counts; there is no mask.
    """
    rules = edits.protocol.structure
    of_sources = edits.cached(
        "self-similarity",
        [edits.channels, rules],
        lambda: list(_similarities(edits, edits.source_images, rules)),
    )
    return [
        float((source - edited).square().mean())
        for source, edited in zip(
            edits.per_edit(of_sources), _similarities(edits, edits.images, rules), strict=True
        )
    ]


def _similarities(
    edits: ScoringBatch, images: Sequence[NDArray[np.uint8]], rules: StructureRules
) -> torch.Tensor:
    import torch

    networks = edits.networks
    similarities = []
    for start in range(0, len(images), networks.batch_size):
        pixels = network_input(images[start : start + networks.batch_size], rules).to(networks.device)
        with networks.autocast():
            tokens = networks.dino.read(pixels, rules.layer, rules.features).float()
        similarities.append(_similarity(tokens, rules, networks.dino.heads))
    return torch.cat(similarities)


def _similarity(tokens: torch.Tensor, rules: StructureRules, heads: int) -> torch.Tensor:
    if not rules.class_token:
        tokens = tokens[:, 1:]
    if rules.heads == "averaged":
        images, number, width = tokens.shape
        by_head = tokens.view(images, number, heads, width // heads).transpose(1, 2)
        return self_similarity(by_head)
    return self_similarity(tokens)


def network_input(images: Sequence[NDArray[np.uint8]], rules: StructureRules) -> torch.Tensor:
    """Resize images to the ViT's resolution and normalise them.

    The reference applies a normalisation for 0..1 to grey levels 0..255, and resizes without antialiasing.
    The published numbers contain both, so both are the default.

    Args:
        images: images ``[height, width, 3]`` of one size.
        rules: the protocol's section ``structure``.

    Returns:
        ``[images, 3, 224, 224]``, float32.
    """
    import torch
    from torch.nn import functional

    pil_filter = _PIL_FILTERS.get(rules.resize)
    if pil_filter is not None:
        images = [np.array(Image.fromarray(image).resize((SIDE, SIDE), pil_filter)) for image in images]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().float()
    if pil_filter is None:
        pixels = functional.interpolate(
            pixels,
            size=(SIDE, SIDE),
            mode="bilinear",
            antialias=rules.resize == "bilinear_antialiased",
        )
    if rules.levels == "0..1":
        pixels = pixels / 255
    elif rules.levels == "-1..1":
        pixels = pixels / 127.5 - 1
    if not rules.normalise:
        return pixels
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


def dino_similarities(edits: ScoringBatch) -> list[float]:
    r"""Cosine of the class tokens of edit and source (Ruiz et al., DreamBooth, CVPR 2023, section 4).

    $$\cos \bigl( E(y), E(x) \bigr) = \frac{E(y) \cdot E(x)}{\lVert E(y) \rVert \, \lVert E(x) \rVert}$$

    $E$ is the class token of DINO's last layer. Images are preprocessed as in DINO's training, resized by PIL
    and scaled to 0..1, whatever the protocol says about the structure distance.
    """
    import torch

    from piebench_eval.metrics.protocol import StructureRules

    networks = edits.networks
    usual = StructureRules(resize="pil_bicubic", levels="0..1")

    def class_tokens(images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        tokens = []
        for start in range(0, len(images), networks.batch_size):
            pixels = network_input(images[start : start + networks.batch_size], usual).to(networks.device)
            with networks.autocast():
                tokens.append(networks.dino.class_tokens(pixels).float())
        return torch.cat(tokens)

    of_sources = edits.cached(
        "class tokens", [edits.channels], lambda: list(class_tokens(edits.source_images))
    )
    sources = torch.stack(edits.per_edit(of_sources))
    return torch.cosine_similarity(class_tokens(edits.images), sources).tolist()


STRUCTURE_DISTANCE = Metric(
    title="Structure distance",
    paper="Tumanyan et al., Splicing ViT Features for Semantic Appearance Transfer, CVPR 2022",
    better="lower",
    score=structure_distances,
    sections=("pictures", "structure"),
    networks=("dino",),
    scale=1e3,
    unit="×10³",
)
DINO_SIMILARITY = Metric(
    title="DINO similarity",
    paper="Ruiz et al., DreamBooth, CVPR 2023, with the ViT of the structure distance",
    better="higher",
    score=dino_similarities,
    sections=("pictures",),
    networks=("dino",),
    scale=1e2,
    unit="×10²",
)
