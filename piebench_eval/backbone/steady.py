"""Layers whose results on a CPU do not depend on the number of threads, in the place of those that do.

oneDNN, which PyTorch convolves with, adds up a 1x1 kernel's channels in an order that follows the number of
threads. And PyTorch's own functions work on vectors of 16 numbers, rounding otherwise than on the single
numbers that are left at the end of each thread's part; functions of MKL (exp, erf) do not. The other layers
of Stable Diffusion are steady, products of matrices in the mode of MKL that ``use_exact_float32`` asks for.
In the backward pass, which null-text inversion alone needs, that holds for 1, 2 and 4 threads.
"""

from __future__ import annotations

import math

import torch
from diffusers.models.activations import GEGLU
from torch import nn
from transformers.activations import QuickGELUActivation

_SATURATED = -87.0
"""Below, a sigmoid is 0 to seven digits of anything added to it, and its exponential nears float32's end."""


class SteadyPointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution of stride 1, without padding, as a product of matrices."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Mix the channels of ``[samples, channels, height, width]`` at every pixel."""
        mixed = self.weight[:, :, 0, 0] @ pixels.flatten(2)
        if self.bias is not None:
            mixed = mixed + self.bias[:, None]
        return mixed.unflatten(2, pixels.shape[2:])


class SteadySwish(nn.Module):
    """``x sigmoid(slope x)``: SiLU for a slope of 1, CLIP's QuickGELU for 1.702."""

    def __init__(self, slope: float = 1.0):
        super().__init__()
        self.slope = slope

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply to every number of a tensor of any shape."""
        return values / (1 + torch.exp(-(self.slope * values).clamp(min=_SATURATED)))


class SteadyGeglu(nn.Module):
    """A linear layer whose one half is multiplied with GELU of the other (Shazeer, 2020)."""

    def __init__(self, proj: nn.Linear):
        super().__init__()
        self.proj = proj

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map ``[samples, positions, width]``."""
        values, gate = self.proj(hidden_states).chunk(2, dim=-1)
        gate = gate.contiguous()
        return values * (0.5 * gate * (1 + torch.erf(gate * math.sqrt(0.5))))


def use_steady_layers(model: nn.Module) -> None:
    """Replace the layers of a model that are not steady, keeping their weights and names."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and _is_pointwise(layer):
                parent.add_module(name, _as_product(layer))
            elif type(layer) is nn.SiLU:
                parent.add_module(name, SteadySwish())
            elif type(layer) is GEGLU:
                parent.add_module(name, SteadyGeglu(layer.proj))  # type: ignore[arg-type]
            elif type(layer) is QuickGELUActivation:
                parent.add_module(name, SteadySwish(slope=1.702))


def _is_pointwise(layer: nn.Conv2d) -> bool:
    plain = layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1
    return plain and layer.padding in ((0, 0), 0)


def _as_product(layer: nn.Conv2d) -> SteadyPointwiseConv2d:
    with torch.device("meta"):
        product = SteadyPointwiseConv2d(layer.in_channels, layer.out_channels, 1, bias=layer.bias is not None)
    product.weight, product.bias = layer.weight, layer.bias
    return product.train(layer.training)
