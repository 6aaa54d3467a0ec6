"""Gradients on a CPU by oneDNN, where MKL leaves half of a processor's vectors unused.

PyTorch multiplies float32 matrices by MKL, in its fused attention too. On AMD's processors MKL computes with
vectors of 256 bits, oneDNN with all of their 512. Besides, oneDNN adds a bias and multiplies by a matrix
before it writes a product out, and a power of two takes a quarter of the time of an exponential.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from piebench_eval.models.attention import states_without_options
from piebench_eval.models.deterministic import DeterministicLinear
from piebench_eval.models.onednn import onednn_attention_and_sums, onednn_is_faster, onednn_product

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_LOG2E = math.log2(math.e)

_FEWEST = 1024
"""Positions of an image below which many small products cost what they save."""

_SMALLEST = 2**20
"""Multiplications of a linear layer below which likewise."""

_BLOCK = 2**19
"""Entries of a map that are computed at a time: 2 MB of float32."""


def fast_gradients(network: Any) -> AbstractContextManager[Any]:
    """Let oneDNN compute linear layers that are called within, their gradients and self-attention's.

    Numbers differ by float32's rounding. Nothing changes on other devices and processors, in half precision,
    where layers are deterministic or compiled, or where activations are computed again: that happens within
    ``torch.autograd.grad``, which suspends this context.

    Args:
        network: the denoiser, whose weights are not differentiated.
    """
    of_cpu = getattr(network, "device", None) == torch.device("cpu")
    exact = of_cpu and getattr(network, "dtype", None) == torch.float32
    if not exact or not onednn_is_faster() or _is_special(network):
        return nullcontext()
    return _FastGradients()


def _is_special(network: Any) -> bool:
    """Whether layers are deterministic or compiled, or activations computed again."""
    layers = list(network.modules())
    deterministic = any(isinstance(layer, DeterministicLinear) for layer in layers)
    compiled = any(layer._compiled_call_impl is not None for layer in layers)
    return deterministic or compiled or getattr(network, "is_gradient_checkpointing", False)


class _FastGradients(TorchFunctionMode):
    """Takes over calls of linear layers and of attention."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is linear:
            return _project(*args, **(kwargs or {}))
        if function is scaled_dot_product_attention:
            return _attend(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _project(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``linear`` of rows ``[..., width]``."""
    learns = weight.requires_grad or (bias is not None and bias.requires_grad)
    if learns or input.numel() * len(weight) < _SMALLEST:
        return linear(input, weight, bias)
    projected: torch.Tensor = _Linear.apply(input, weight, bias)
    return projected


class _Linear(torch.autograd.Function):
    """A linear layer whose weights are not differentiated."""

    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Map ``[..., width]``."""
        ctx.save_for_backward(weight)
        return onednn_product(rows.contiguous(), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The gradient by the rows."""
        (weight,) = ctx.saved_tensors
        return onednn_product(gradient.contiguous(), weight.t()), None, None


def _attend(*args: Any, **kwargs: Any) -> torch.Tensor:
    """``scaled_dot_product_attention``: large, plain self-attention by oneDNN, and all other by PyTorch."""
    states = states_without_options(*args, **kwargs)
    if states is None or not _is_large_self_attention(*states):
        return scaled_dot_product_attention(*args, **kwargs)
    attended: torch.Tensor = _Attention.apply(*states)
    return attended


def _is_large_self_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    of_itself = query.ndim == 4 and query.shape == key.shape == value.shape
    return of_itself and query.shape[-2] >= _FEWEST


class _Attention(torch.autograd.Function):
    """Attention whose maps are computed again for its gradient."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attention ``[rows, heads, positions, width]``."""
        output, log_sums = onednn_attention_and_sums(query, key, value)
        ctx.save_for_backward(query, key, value, output, log_sums)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gradients by query, key and value."""
        gradients = [torch.empty_like(each) for each in ctx.saved_tensors[:3]]
        for row in range(gradient.shape[0]):
            for head in range(gradient.shape[1]):
                of_head = [each[row, head] for each in (*ctx.saved_tensors, gradient)]
                for whole, part in zip(gradients, attention_gradients(*of_head), strict=True):
                    whole[row, head] = part
        return tuple(gradients)


def attention_gradients(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    output: torch.Tensor,
    log_sums: torch.Tensor,
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Differentiate attention ``output = softmax(query key^T / sqrt(width)) value`` of one head.

    Maps are computed again, some keys at a time (Dao et al., FlashAttention, 2022, algorithm 4), and stand
    here with keys first: ``maps^T``, so that what is subtracted from a query's row is a bias.

    Args:
        query: ``[positions, width]``, float32.
        key: ``[tokens, width]``.
        value: ``[tokens, width]``.
        output: ``[positions, width]``.
        log_sums: logarithms of the softmax's denominators ``[positions]``.
        gradient: of a loss by the output, its shape.

    Returns:
        Gradients by query, key and value.
    """
    scale = query.shape[-1] ** -0.5
    # Of heads that lie between each other, oneDNN multiplies entry by entry.
    query, key, value, gradient = (each.contiguous() for each in (query, key, value, gradient))
    scaled_query, scaled_key_t = query * scale, (key * scale).t().contiguous()
    exponents, minus_log_sums = scaled_query * _LOG2E, (log_sums * -_LOG2E).contiguous()
    minus_means = -(gradient * output).sum(dim=-1)
    query_t, gradient_t = scaled_query.t().contiguous(), gradient.t().contiguous()
    by_query_t, by_key, by_value = torch.zeros_like(query_t), torch.empty_like(key), torch.empty_like(value)
    size = max(1, _BLOCK // len(query))
    for start in range(0, len(key), size):
        block = slice(start, start + size)
        maps = onednn_product(key[block], exponents, minus_log_sums).exp2_()
        by_value[block] = onednn_product(maps, gradient_t)
        by_logits = _product_times(value[block], gradient, minus_means, maps)
        by_key[block] = onednn_product(by_logits, query_t)
        by_query_t += onednn_product(scaled_key_t[:, block].contiguous(), by_logits.t())
    return by_query_t.t(), by_key, by_value


def _product_times(
    left: torch.Tensor, right: torch.Tensor, bias: torch.Tensor, factors: torch.Tensor
) -> torch.Tensor:
    """``(left right^T + bias) factors``, entry by entry, by one operation of oneDNN."""
    binary = torch.ops.mkldnn._linear_pointwise.binary
    product: torch.Tensor = binary(left, factors, right, bias, "mul")
    return product
