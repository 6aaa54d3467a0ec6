"""Linear layers, convolutions and attention by oneDNN, where MKL leaves half of a processor's vectors unused.

PyTorch has MKL multiply matrices of float32, which computes with vectors of 256 bits on AMD's processors; so
it does in attention, and in 1x1 convolutions of one thread. oneDNN, by which it convolves else, uses all of
their 512 bits, in half the time. Numbers differ by float32's rounding.
"""

from __future__ import annotations

import itertools
import math
import platform
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAP = 2**20
"""Numbers of a map that are written out at a time: four megabytes, which stay in the processor's cache."""

_LARGEST_EXPONENT = 100.0
"""Powers of two up to this, and their sums and products with values, are far within float32's range."""

_unused: ContextVar[bool] = ContextVar("unused", default=False)

_SMALLEST_MAP = 2**17
"""Numbers of a map below which calls cost more than products save."""


@cache
def onednn_is_faster() -> bool:
    """Whether this processor is AMD's, and has vectors of 512 bits that PyTorch uses."""
    cpus = Path("/proc/cpuinfo")
    about = cpus.read_text() if cpus.exists() else platform.processor()
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and torch.backends.mkldnn.is_available() and "AuthenticAMD" in about


@contextmanager
def without_onednn(applies: bool) -> Iterator[None]:
    """Leave everything to PyTorch's own functions within.

    They do so anyway where rows are differentiated. Rows that are compared with those have to round as they
    do; and no number of threads changes a bit of PyTorch's fused attention.

    Args:
        applies: otherwise nothing changes.
    """
    before = _unused.set(applies or _unused.get())
    try:
        yield
    finally:
        _unused.reset(before)


def _applies(tensor: torch.Tensor) -> bool:
    """Whether a tensor can be computed with here: in float32, and nothing is differentiated or compiled."""
    plain = tensor.dtype == torch.float32 and tensor.device.type == "cpu"
    changes = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return plain and not changes and not _unused.get()


def onednn_product(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """``rows @ weight.T + bias``, by the operation that ``torch.compile`` makes of linear layers."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class OneDnnLinear(nn.Linear):
    """A linear layer by oneDNN."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Map ``[..., width]``."""
        return onednn_product(rows, self.weight, self.bias) if _applies(rows) else super().forward(rows)


class OneDnnConv2d(nn.Conv2d):
    """A convolution by oneDNN, 1x1 ones and those of small pictures too."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Convolve ``[samples, channels, height, width]``."""
        if not _applies(pixels):
            return super().forward(pixels)
        shape = self.padding, self.stride, self.dilation, self.groups
        convolve = torch.ops.mkldnn._convolution_pointwise
        convolved: torch.Tensor = convolve(pixels, self.weight, self.bias, *shape, "none", [], "")
        return convolved


def use_onednn_layers(model: nn.Module) -> None:
    """Replace PyTorch's own linear layers and convolutions in a model, keeping weights and names."""
    from piebench_eval.models.deterministic import with_weights_of

    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                linear = partial(OneDnnLinear, layer.in_features, layer.out_features)
                parent.add_module(name, with_weights_of(layer, linear))
            elif type(layer) is nn.Conv2d and _is_padded_by_numbers(layer):
                parent.add_module(name, with_weights_of(layer, partial(_convolution_like, layer)))


def use_onednn_layers_where_faster(model: nn.Module, device: torch.device) -> None:
    """``use_onednn_layers`` in a model on a device, if that is a CPU where they are faster."""
    if device.type == "cpu" and onednn_is_faster():
        use_onednn_layers(model)


def _is_padded_by_numbers(layer: nn.Conv2d) -> bool:
    """Whether a convolution's padding is of zeros and not a word, ``same`` or ``valid``."""
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _convolution_like(layer: nn.Conv2d) -> OneDnnConv2d:
    return OneDnnConv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        layer.dilation,  # type: ignore[arg-type]
        layer.groups,
    )


def attends_by_onednn(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether ``onednn_attention`` is faster than PyTorch's fused kernel, and may take its place."""
    large = query.shape[-2] * key.shape[-2] >= _SMALLEST_MAP
    return onednn_is_faster() and large and _applies(query)


def onednn_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention by oneDNN.

    Args:
        query: ``[rows, heads, positions, width]``.
        key: ``[rows, heads, tokens, width]``.
        value: ``[rows, heads, tokens, width of values]``.

    Returns:
        ``[rows, heads, positions, width of values]``, a position's heads side by side in memory.
    """
    return onednn_attention_and_sums(query, key, value)[0]


def onednn_attention_and_sums(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of some queries at a time, whose maps are written out, and the softmax's denominators.

    The softmax is made of powers of two, which take a quarter of the time of exponentials, and what is
    attended to is divided by its sum. The largest entry is subtracted only where powers could leave float32's
    range without that: no entry is larger than the product of the longest query and the longest key.

    Args:
        query: see ``onednn_attention``.
        key: likewise.
        value: likewise.

    Returns:
        What ``onednn_attention`` returns, and logarithms of the denominators ``[rows, heads, positions]``.
    """
    rows, heads, positions, width = query.shape
    attended = query.new_empty(rows, positions, heads, value.shape[-1]).transpose(1, 2)
    log_sums = query.new_empty(rows, heads, positions)
    for row, head in itertools.product(range(rows), range(heads)):
        keys = key[row, head] * (width**-0.5 * math.log2(math.e))
        values = value[row, head].T.contiguous()
        in_range = bool(_longest(query[row, head]) * _longest(keys) <= _LARGEST_EXPONENT)
        parts = [each[row, head].split(max(1, _MAP // len(keys))) for each in (query, attended, log_sums)]
        for queries, part, logs in zip(*parts, strict=True):
            maps = onednn_product(queries, keys)
            largest = None if in_range else maps.amax(dim=-1, keepdim=True)
            sums = (maps if largest is None else maps.sub_(largest)).exp2_().sum(dim=-1, keepdim=True)
            torch.div(onednn_product(maps, values), sums, out=part)
            exponents = sums.log2() if largest is None else sums.log2() + largest
            torch.mul(exponents[:, 0], math.log(2), out=logs)
    return attended, log_sums


def _longest(vectors: torch.Tensor) -> torch.Tensor:
    """The largest norm of vectors ``[positions, width]``."""
    return torch.linalg.vector_norm(vectors, dim=-1).amax()
