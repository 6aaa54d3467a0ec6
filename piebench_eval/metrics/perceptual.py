"""LPIPS (Zhang et al., CVPR 2018): with SqueezeNet, as PIE-Bench has it, with AlexNet or with VGG."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.background import in_regions, without_background_nan
from piebench_eval.metrics.base import PAIR_SECTIONS, Metric
from piebench_eval.metrics.networks import LPIPS_BACKBONES
from piebench_eval.warning_filters import ignored_warnings
from piebench_eval.weights import SUFFIX, require_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.bench.rle import BoolMask
    from piebench_eval.metrics.edits import Edits
    from piebench_eval.metrics.protocol import LpipsRules

_FEATURES = "features."
"""How torchvision's state dicts begin the names of what LPIPS takes; the rest classifies."""

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

    def __init__(self, role: str, weights: str, device: torch.device, allow_pickle: bool = False):
        """Load the network.

        Args:
            role: field of ``MetricModels`` that names it.
            weights: the backbone's name for torchvision's ImageNet weights (downloaded once), or a
                safetensors file with the state dict of its features.
            device: where to put it.
            allow_pickle: accept a file with a state dict that PyTorch saved, see ``piebench_eval.weights``.

        Raises:
            PiebenchError: the weights cannot be had, do not fit, or are in a pickle file.
        """
        import lpips

        from piebench_eval.loading import explained_loading

        backbone = LPIPS_BACKBONES[role]
        option = f"--{role.replace('_', '-')}"
        # lpips calls torchvision with a deprecated argument; its own linear layers come with it.
        with ignored_warnings():
            network = lpips.LPIPS(net=backbone.lpips, pnet_rand=True, verbose=False)
        with explained_loading(option, weights, f"a safetensors file of {backbone.torchvision}'s features"):
            if weights == backbone.torchvision:
                found = _pretrained(backbone.weights)
            else:
                require_safetensors(option, weights, Path(weights), allow_pickle)
                found = _read(Path(weights))
            _load_backbone(network.net, found, f"{option} {weights}", backbone.torchvision)
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


def _pretrained(name: str) -> dict[str, torch.Tensor]:
    """Weights that torchvision names, downloaded once; read as tensors and nothing else."""
    from torchvision.models import get_weight

    state: dict[str, torch.Tensor] = get_weight(name).get_state_dict(check_hash=True, weights_only=True)
    return {key.removeprefix(_FEATURES): value for key, value in state.items() if key.startswith(_FEATURES)}


def _read(file: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    if file.suffix == SUFFIX:
        return load_file(file)
    state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def _load_backbone(backbone: Any, weights: Mapping[str, torch.Tensor], place: str, name: str) -> None:
    """Load ``features`` weights into lpips' slices, which keep the layers' numbers but not their names."""
    wanted = {re.sub(r"^slice\d+\.", "", key): key for key in backbone.state_dict()}
    if lacking := set(wanted) - set(weights):
        raise PiebenchError(
            f"{place}: lacks {min(lacking)}; save the state dict of torchvision's {name}().features"
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
