"""Linear layers that oneDNN computes on a CPU, in the place of MKL."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class OneDnnLinear(nn.Module):
    """A linear layer in float32 whose product of matrices is oneDNN's.

    PyTorch multiplies matrices of float32 by MKL, which on processors other than Intel's does not use all of
    their vector instructions: on an AMD EPYC with AVX-512, oneDNN takes less than half the time. Both add up
    in float32 and differ in the last digits.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, layer: nn.Linear):
        """Take over a layer's weights, which are then kept in oneDNN's layout only.

        Args:
            layer: of float32, on a CPU.
        """
        super().__init__()
        bias = None if layer.bias is None else layer.bias.detach().to_mkldnn()
        self.register_buffer("weight", layer.weight.detach().to_mkldnn())
        self.register_buffer("bias", bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """From ``[..., width]`` to ``[..., other width]``."""
        return functional.linear(tokens.to_mkldnn(), self.weight, self.bias).to_dense()


def compute_by_onednn(network: nn.Module, device: torch.device, precision: str) -> None:
    """Replace a network's linear layers by ``OneDnnLinear``, if it computes in float32 on a CPU.

    Args:
        network: in float32; changed in place.
        device: where it is.
        precision: ``fp32`` or ``bf16``, which it is going to compute in.
    """
    if device.type != "cpu" or precision != "fp32" or not torch.backends.mkldnn.is_available():
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:  # MultiheadAttention reads its subclass's weights without calling it
                setattr(module, name, OneDnnLinear(child))
