"""Names of the metrics' networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import DEMO, is_embedded

if TYPE_CHECKING:
    from collections.abc import Iterable

DINO = "facebook/dino-vitb8"
CLIP = "openai/clip-vit-large-patch14"
OPEN_CLIP = "open_clip:"
"""Prefix of the CLIP models that open_clip loads, as in ``open_clip:ViT-L-14/openai``."""


def open_clip_parts(name: str) -> tuple[str, str]:
    """Split a name that begins with ``open_clip:`` into model and weights; local and hub models have none.

    >>> open_clip_parts("open_clip:ViT-L-14/openai"), open_clip_parts("open_clip:local-dir:/models/clip")
    (('ViT-L-14', 'openai'), ('local-dir:/models/clip', ''))
    """
    model = name.removeprefix(OPEN_CLIP)
    if model.startswith(("local-dir:", "hf-hub:")):
        return model, ""
    model, _, weights = model.partition("/")
    return model, weights


@dataclass(frozen=True)
class LpipsBackbone:
    """A backbone of LPIPS: its names in torchvision and in lpips, and its weights in torchvision."""

    torchvision: str
    lpips: str
    weights: str


LPIPS_BACKBONES = {
    "lpips_weights": LpipsBackbone("squeezenet", "squeeze", "SqueezeNet1_1_Weights.IMAGENET1K_V1"),
    "lpips_alex": LpipsBackbone("alexnet", "alex", "AlexNet_Weights.IMAGENET1K_V1"),
    "lpips_vgg": LpipsBackbone("vgg16", "vgg", "VGG16_Weights.IMAGENET1K_V1"),
}
"""The backbones of LPIPS by field of ``MetricModels``."""

LPIPS_ROLE = "lpips_weights"
"""The field whose place ``lpips.network`` of a protocol gives to another backbone."""

OFFICIAL_NETWORKS = ("dino", "clip", "lpips_weights")
"""Fields of ``MetricModels`` that the official columns need."""


@dataclass(frozen=True)
class MetricModels:
    """Names of the metrics' networks; the defaults are the paper's.

    Attributes:
        dino: ViT of the structure distance, transformers directory or hub id.
        clip: CLIP of the CLIP scores, transformers directory or hub id, or ``open_clip:MODEL/WEIGHTS``.
        lpips_weights: SqueezeNet of LPIPS, ``squeezenet`` for torchvision's or a safetensors file.
        lpips_alex: AlexNet of ``lpips_alex_unedit_part``, ``alexnet`` for torchvision's or a safetensors
            file.
        lpips_vgg: VGG of ``lpips_vgg_unedit_part``, ``vgg16`` for torchvision's or a safetensors file.

    ``demo`` stands for the embedded network in each of the first three.
    """

    dino: str = DINO
    clip: str = CLIP
    lpips_weights: str = LPIPS_BACKBONES["lpips_weights"].torchvision
    lpips_alex: str = LPIPS_BACKBONES["lpips_alex"].torchvision
    lpips_vgg: str = LPIPS_BACKBONES["lpips_vgg"].torchvision

    def to_dict(self, roles: Iterable[str] = OFFICIAL_NETWORKS) -> dict[str, str]:
        """The names of some roles, for the JSON file beside the scores."""
        return {role: name for role, name in asdict(self).items() if role in set(roles)}


def lpips_role(network: str) -> str:
    """The field of ``MetricModels`` of a backbone of LPIPS, by its name in torchvision.

    >>> lpips_role("squeezenet"), lpips_role("vgg16")
    ('lpips_weights', 'lpips_vgg')
    """
    return next(role for role, backbone in LPIPS_BACKBONES.items() if backbone.torchvision == network)


def networks_for(model: str | None) -> MetricModels:
    """The default networks for edits by a model: embedded for an embedded model, else the paper's."""
    return MetricModels(DEMO, DEMO, DEMO) if is_embedded(model) else MetricModels()
