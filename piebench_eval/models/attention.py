"""Hooks into a UNet's attention, through diffusers' attention processors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch


@dataclass(frozen=True)
class AttentionLayer:
    """One attention layer of a UNet's transformer blocks.

    Attributes:
        kind: ``self`` or ``cross``.
        index: position among the layers of its kind, in the order in which they run.
    """

    kind: Literal["self", "cross"]
    index: int


class AttentionHook(Protocol):
    """What computes attention in place of the plain formula."""

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Return attention's output, ``[rows, heads, positions, width]``, as ``query``."""
        ...


def attention_maps(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Softmax of scaled dot products, in float32.

    Args:
        query: ``[rows, heads, positions, width]``.
        key: ``[rows, heads, tokens, width]``.

    Returns:
        Maps ``[rows, heads, positions, tokens]`` that sum to 1 over the tokens.
    """
    logits = query.float() @ key.float().transpose(-1, -2)
    return (logits * query.shape[-1] ** -0.5).softmax(dim=-1)


@contextmanager
def controlled_attention(unet: Any, hook: AttentionHook) -> Iterator[None]:
    """Route every attention layer of a UNet through a hook; put the old processors back at the end."""
    original = dict(unet.attn_processors)
    unet.set_attn_processor(
        {name: _HookedProcessor(layer, hook) for name, layer in attention_layers(original).items()}
    )
    try:
        yield
    finally:
        unet.set_attn_processor(original)


def attention_layers(processors: dict[str, Any]) -> dict[str, AttentionLayer]:
    """Describe attention layers by the names of their processors, in the order in which they run."""
    kinds: dict[str, Literal["self", "cross"]] = {"attn1": "self", "attn2": "cross"}
    count = {"self": 0, "cross": 0}
    layers = {}
    for place in ("down", "mid", "up"):
        for name in processors:
            if name.startswith(place):
                kind = kinds[name.removesuffix(".processor").rsplit(".", 1)[-1]]
                layers[name] = AttentionLayer(kind, count[kind])
                count[kind] += 1
    return layers


class _HookedProcessor:
    """A diffusers attention processor that leaves the attention itself to a hook.

    It serves the attention of SD v1's transformer blocks, which has no group norm, mask or residual of
    its own.
    """

    def __init__(self, layer: AttentionLayer, hook: AttentionHook):
        self._layer = layer
        self._hook = hook

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def split_heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        query, key, value = (
            split_heads(projection(states))
            for projection, states in (
                (attn.to_q, hidden_states),
                (attn.to_k, context),
                (attn.to_v, context),
            )
        )
        attended = self._hook.attend(self._layer, query, key, value)
        attended = attended.transpose(1, 2).flatten(2).to(query.dtype)
        for module in attn.to_out:
            attended = module(attended)
        return attended


def plain_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention by PyTorch's fused kernel, which never writes the maps out.

    Args:
        query: ``[rows, heads, positions, width]``.
        key: ``[rows, heads, tokens, width]``.
        value: as ``key``.

    Returns:
        As ``query``.
    """
    from torch.nn import functional

    return functional.scaled_dot_product_attention(query, key, value)
