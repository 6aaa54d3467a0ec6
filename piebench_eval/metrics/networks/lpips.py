"""The networks of LPIPS: backbone and linear layers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.networks.metric_models import LPIPS_BACKBONES
from piebench_eval.models.weights import SUFFIX, require_safetensors
from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_FEATURES = "features."
"""Prefix of the weights in torchvision's state dicts that LPIPS uses; the others belong to the classifier."""


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
            allow_pickle: accept a state dict that PyTorch saved, see ``piebench_eval.models.weights``.

        Raises:
            PiebenchError: the weights cannot be had, do not fit, or are in a pickle file.
        """
        import lpips
        import torch

        from piebench_eval.models.from_pretrained import explained_loading

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
        self._format = torch.channels_last if device.type == "cpu" else torch.contiguous_format
        self._network.net.to(memory_format=self._format)

    def features(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Features of every layer, each of unit length across channels.

        On a CPU, channels are stored last: convolutions and pooling of few channels take half the time.

        Args:
            pixels: ``[images, 3, height, width]`` in -1..1.
        """
        from lpips import normalize_tensor

        scaled = self._network.scaling_layer(pixels).contiguous(memory_format=self._format)
        layers = self._network.net.forward(scaled)
        return [normalize_tensor(layer.float()) for layer in layers]

    def maps(self, source: list[torch.Tensor], edited: list[torch.Tensor]) -> list[torch.Tensor]:
        """Weighted squared differences of every layer's features, each ``[images, 1, h, w]``."""
        return [
            weigh((one - other) ** 2)
            for weigh, one, other in zip(self._network.lins, source, edited, strict=True)
        ]


def _pretrained(name: str) -> dict[str, torch.Tensor]:
    """Weights that torchvision names, downloaded once and read as tensors only."""
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
