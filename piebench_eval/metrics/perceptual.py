"""LPIPS (Zhang et al., CVPR 2018): with SqueezeNet, as PIE-Bench has it, with AlexNet or with VGG."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.background import in_regions, without_background_nan
from piebench_eval.metrics.base import PAIR_SECTIONS, Metric
from piebench_eval.metrics.networks import LPIPS_BACKBONES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.bench.rle import BoolMask
    from piebench_eval.metrics.edits import Edits
    from piebench_eval.metrics.protocol import LpipsRules

_PAPER = "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018"


def background_lpips(role: str) -> Callable[[Edits], Sequence[float]]:
    """LPIPS of what should not change, by the network of a role; nan where there is nothing of it."""

    def score(edits: Edits) -> list[float]:
        network = edits.suite.lpips(role)
        rules = edits.protocol.lpips

        def features(image: NDArray[np.uint8], owner: int) -> list[torch.Tensor]:
            pixels = network_input(edits, image, edits.backgrounds[owner], rules)
            with edits.suite.autocast():
                return network.features(pixels)

        scores = [float("nan")] * len(edits.owners)
        for owner, source in enumerate(edits.source_images):
            of_source = features(source, owner)  # dropped before the next: features are large
            for position in (at for at, its_owner in enumerate(edits.owners) if its_owner == owner):
                maps = network.maps(of_source, features(edits.images[position], owner))
                scores[position] = _distance(maps, edits.backgrounds[owner], rules)
        return without_background_nan(edits, scores)

    return score


def network_input(
    edits: Edits, image: NDArray[np.uint8], background: BoolMask, rules: LpipsRules
) -> torch.Tensor:
    """A picture in the network's value range, what is not background painted over, ``[1, 3, h, w]``."""
    import torch
    from torch.nn import functional

    pixels = edits.levels([image]) / 255
    kept = torch.from_numpy(background).to(pixels.device)
    if rules.area == "kept":
        kept = torch.ones_like(kept)
    if rules.hole == "black":
        pixels = pixels * kept
    if rules.levels == "-1..1":
        pixels = pixels * 2 - 1
    if rules.hole == "grey":
        pixels = pixels * kept
    if rules.side is not None:
        size = (rules.side, rules.side)
        pixels = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels


def _distance(maps: list[torch.Tensor], background: BoolMask, rules: LpipsRules) -> float:
    import torch
    from torch.nn import functional

    if rules.area == "picture":
        return float(torch.stack([layer.mean() for layer in maps]).sum())
    enlarged = [
        functional.interpolate(layer, size=background.shape, mode="bilinear", align_corners=False)
        for layer in maps
    ]
    kept = torch.from_numpy(background).to(enlarged[0].device)
    return float(torch.stack(enlarged).sum(dim=0)[0, 0, kept].mean())


class PerceptualFeatures:
    """A backbone and its linear layers, version 0.1, from the lpips package.

    Its normalisation adds 1e-10 to the features' norm, as the evaluator of the paper's time did.
    """

    def __init__(self, role: str, weights: str, device: torch.device):
        """Load the network.

        Args:
            role: field of ``MetricModels`` that names it.
            weights: the backbone's name for torchvision's ImageNet weights (downloaded once), or a
                safetensors file with the state dict of its features.
            device: where to put it.

        Raises:
            PiebenchError: the weights cannot be had or do not fit.
        """
        import lpips

        from piebench_eval.loading import explained_loading

        backbone = LPIPS_BACKBONES[role]
        option = f"--{role.replace('_', '-')}"
        pretrained = weights == backbone.torchvision
        # lpips prints on construction and calls torchvision with a deprecated argument.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            explained_loading(option, weights, "a safetensors file of its features"),
        ):
            warnings.simplefilter("ignore")
            network = lpips.LPIPS(net=backbone.lpips, pnet_rand=not pretrained, verbose=False)
        if not pretrained:
            _load_backbone(network.net, Path(weights), option, backbone.torchvision)
        self._network: Any = network.eval().requires_grad_(False).to(device)

    def features(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Features of every layer, each of unit length across channels.

        Args:
            pixels: ``[pictures, 3, height, width]`` in -1..1.
        """
        from lpips import normalize_tensor

        layers = self._network.net.forward(self._network.scaling_layer(pixels))
        return [normalize_tensor(layer.float()) for layer in layers]

    def maps(self, source: list[torch.Tensor], edited: list[torch.Tensor]) -> list[torch.Tensor]:
        """Weighted squared differences of every layer's features, each ``[pictures, 1, h, w]``."""
        return [
            weigh((one - other) ** 2)
            for weigh, one, other in zip(self._network.lins, source, edited, strict=True)
        ]


def _load_backbone(backbone: Any, file: Path, option: str, name: str) -> None:
    """Load ``features`` weights into lpips' slices, which keep the layers' numbers but not their names."""
    from safetensors.torch import load_file

    from piebench_eval.loading import explained_loading

    with explained_loading(option, str(file), f"a safetensors file of {name}'s features"):
        weights = load_file(file)
        wanted = {re.sub(r"^slice\d+\.", "", key): key for key in backbone.state_dict()}
        if set(wanted) - set(weights):
            raise PiebenchError(
                f"{option} {file}: lacks {min(set(wanted) - set(weights))}; save the state dict of "
                f"torchvision's {name}().features"
            )
        backbone.load_state_dict({slice_name: weights[name] for name, slice_name in wanted.items()})


def _metric(title: str, role: str) -> Metric:
    return Metric(
        title=title,
        paper=_PAPER,
        better="lower",
        score=background_lpips(role),
        sections=(*PAIR_SECTIONS, "lpips"),
        networks=(role,),
        scale=1e3,
        unit="×10³",
    )


LPIPS_OUTSIDE, LPIPS_EVERYWHERE, LPIPS_INSIDE = in_regions(_metric("LPIPS", "lpips_weights"))
LPIPS_ALEX = _metric("LPIPS (AlexNet)", "lpips_alex")
LPIPS_VGG = _metric("LPIPS (VGG)", "lpips_vgg")
