"""1x1 convolutions as products of matrices: on a CPU, results then do not depend on the number of threads.

oneDNN, which PyTorch convolves with there, adds up a 1x1 kernel's channels in an order that follows the
number of threads. Its other convolutions, and MKL's products in the mode of ``use_exact_float32``, do not.
"""

from __future__ import annotations

import torch
from torch import nn


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution of stride 1, without padding."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Mix the channels of ``[samples, channels, height, width]`` at every pixel."""
        mixed = self.weight[:, :, 0, 0] @ pixels.flatten(2)
        if self.bias is not None:
            mixed = mixed + self.bias[:, None]
        return mixed.unflatten(2, pixels.shape[2:])


def use_pointwise_products(model: nn.Module) -> None:
    """Let a model's 1x1 convolutions be products of matrices, with the same weights."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and _is_pointwise(layer):
                parent.add_module(name, _of(layer))


def _is_pointwise(layer: nn.Conv2d) -> bool:
    plain = layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.groups == 1
    return plain and layer.padding in ((0, 0), 0)


def _of(layer: nn.Conv2d) -> PointwiseConv2d:
    with torch.device("meta"):
        product = PointwiseConv2d(layer.in_channels, layer.out_channels, 1, bias=layer.bias is not None)
    product.weight, product.bias = layer.weight, layer.bias
    return product.train(layer.training)
