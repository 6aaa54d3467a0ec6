"""Layers whose results on a CPU do not depend on the number of threads, for ``--deterministic``.

oneDNN, which PyTorch convolves with, adds up a 1x1 kernel's channels in an order that follows the number of
threads. And PyTorch's own functions work on vectors of 16 numbers, rounding otherwise than on the single
numbers that are left at the end of each thread's part; functions of MKL (exp, erf) do not. MKL's products of
matrices keep to one order in the mode that ``use_exact_float32`` asks for; on processors other than
Intel's that holds for many rows only, not for the few of a time embedding or of a very small picture. The
other layers of Stable Diffusion 1.x and 3 do not depend on the number of threads. In the backward pass, which
null-text inversion alone needs, that holds for 1, 2 and 4 threads.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from diffusers.models.activations import GEGLU, GELU
from torch import nn
from transformers.activations import QuickGELUActivation

if TYPE_CHECKING:
    from collections.abc import Callable

_SATURATED = -87.0
"""Below, a sigmoid is 0 to seven digits of anything added to it, and its exponential nears float32's end."""


_FEW_ROWS = 32
"""Up to 16 rows MKL was seen to follow the number of threads, on an AMD processor. Products of so few are
added up in float64, where no order shows in float32's digits."""


class DeterministicPointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution of stride 1, without padding, as a product of matrices."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Mix the channels of ``[samples, channels, height, width]`` at every pixel."""
        positions, weight = pixels.flatten(2), self.weight[:, :, 0, 0]
        if positions.shape[2] > _FEW_ROWS:
            mixed = weight @ positions
        else:
            mixed = (weight.double() @ positions.double()).to(pixels.dtype)
        if self.bias is not None:
            mixed = mixed + self.bias[:, None]
        return mixed.unflatten(2, pixels.shape[2:])


class DeterministicLinear(nn.Linear):
    """A linear layer, of few rows in float64."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Map ``[..., width]``."""
        if rows.numel() > _FEW_ROWS * self.in_features:
            return super().forward(rows)
        bias = None if self.bias is None else self.bias.double()
        return nn.functional.linear(rows.double(), self.weight.double(), bias).to(rows.dtype)


class DeterministicSwish(nn.Module):
    """``x sigmoid(slope x)``: SiLU for a slope of 1, CLIP's QuickGELU for 1.702."""

    def __init__(self, slope: float = 1.0):
        super().__init__()
        self.slope = slope

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply to every number of a tensor of any shape."""
        return values / (1 + torch.exp(-(self.slope * values).clamp(min=_SATURATED)))


class DeterministicGeglu(nn.Module):
    """A linear layer whose one half is multiplied with GELU of the other (Shazeer, 2020)."""

    def __init__(self, proj: nn.Module):
        super().__init__()
        self.proj = proj

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map ``[samples, positions, width]``."""
        values, gate = self.proj(hidden_states).chunk(2, dim=-1)
        gate = gate.contiguous()
        return values * (0.5 * gate * (1 + torch.erf(gate * math.sqrt(0.5))))


class DeterministicTanhGelu(nn.Module):
    """A linear layer under GELU's approximation by a tanh: ``(1 + tanh u) / 2`` is the sigmoid of ``2 u``."""

    def __init__(self, proj: nn.Module):
        super().__init__()
        self.proj = proj

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Map ``[samples, positions, width]``."""
        values = self.proj(hidden_states)
        doubled = 2 * math.sqrt(2 / math.pi) * (values + 0.044715 * values * values * values)
        return values / (1 + torch.exp(-doubled.clamp(min=_SATURATED)))


def use_deterministic_layers(model: nn.Module) -> None:
    """Replace the layers of a model that depend on the number of threads, keeping weights and names."""
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            replaced = _replacement(layer)
            if replaced is not None:
                parent.add_module(name, replaced.train(layer.training))


def _replacement(layer: nn.Module) -> nn.Module | None:
    """The deterministic layer to put in a layer's place; None if it needs none."""
    if type(layer) is nn.Conv2d and _is_pointwise(layer):
        return with_weights_of(
            layer, lambda: DeterministicPointwiseConv2d(layer.in_channels, layer.out_channels, 1)
        )
    if type(layer) is nn.Linear:
        return with_weights_of(layer, lambda: DeterministicLinear(layer.in_features, layer.out_features))
    if type(layer) is nn.SiLU:
        return DeterministicSwish()
    if type(layer) is GEGLU:
        return DeterministicGeglu(_replacement(layer.proj) or layer.proj)  # type: ignore[arg-type]
    if type(layer) is GELU and layer.approximate == "tanh":
        return DeterministicTanhGelu(_replacement(layer.proj) or layer.proj)  # type: ignore[arg-type]
    if type(layer) is QuickGELUActivation:
        return DeterministicSwish(slope=1.702)
    return None


def _is_pointwise(layer: nn.Conv2d) -> bool:
    plain = layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1
    return plain and layer.padding in ((0, 0), 0)


def with_weights_of(layer: nn.Conv2d | nn.Linear, make: Callable[[], nn.Conv2d | nn.Linear]) -> nn.Module:
    """A layer of another class with the weights of a layer, whose own are never allocated."""
    with torch.device("meta"):
        made = make()
    made.weight, made.bias = layer.weight, layer.bias
    return made.train(layer.training)
