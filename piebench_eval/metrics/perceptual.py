"""LPIPS (Zhang et al., CVPR 2018) with the SqueezeNet backbone."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from piebench_eval.errors import PiebenchError
from piebench_eval.loading import explained_loading
from piebench_eval.metrics.networks import SQUEEZENET


class PerceptualDistance:
    """LPIPS-squeeze, version 0.1: the linear layers from the lpips package on a SqueezeNet 1.1.

    Its normalisation adds 1e-10 to the features' norm, as the evaluator of the paper's time did.
    """

    def __init__(self, weights: str, device: torch.device):
        """Load the network.

        Args:
            weights: ``squeezenet`` for torchvision's ImageNet weights (downloaded once), or a safetensors
                file with the state dict of ``squeezenet1_1().features``.
            device: where to put it.

        Raises:
            PiebenchError: the weights cannot be had or do not fit.
        """
        import lpips

        pretrained = weights == SQUEEZENET
        # lpips prints on construction and calls torchvision with a deprecated argument.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            explained_loading("--lpips-weights", weights, "a safetensors file of its features"),
        ):
            warnings.simplefilter("ignore")
            network = lpips.LPIPS(net="squeeze", pnet_rand=not pretrained, verbose=False)
        if not pretrained:
            _load_backbone(network.net, Path(weights))
        self._network = network.eval().to(device)

    @torch.no_grad()
    def __call__(self, source: torch.Tensor, edited: torch.Tensor) -> float:
        """Distance of two pictures ``[1, 3, height, width]`` in 0..1."""
        return float(self._network(edited * 2 - 1, source * 2 - 1))


def _load_backbone(backbone: Any, file: Path) -> None:
    """Load ``features`` weights into lpips' slices, which keep the layers' numbers but not their names."""
    with explained_loading("--lpips-weights", str(file), "a safetensors file of SqueezeNet's features"):
        weights = load_file(file)
        wanted = {re.sub(r"^slice\d+\.", "", name): name for name in backbone.state_dict()}
        if set(wanted) - set(weights):
            raise PiebenchError(
                f"--lpips-weights {file}: lacks {min(set(wanted) - set(weights))}; save the state dict of "
                "torchvision's squeezenet1_1().features"
            )
        backbone.load_state_dict({slice_name: weights[name] for name, slice_name in wanted.items()})
