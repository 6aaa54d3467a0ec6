"""Keys and values of a text, projected once for all calls that have it."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any, NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from piebench_eval.models.deterministic import DeterministicLinear, with_weights_of
from piebench_eval.tensors import writes


class _Known(NamedTuple):
    """A projection, and what it was made of."""

    tokens: weakref.ref[torch.Tensor]
    weight: torch.Tensor
    projected: torch.Tensor
    written: list[object]

    @classmethod
    def of(cls, tokens: torch.Tensor, weight: torch.Tensor, projected: torch.Tensor) -> _Known:
        """Note what a projection was made of, as it is now."""
        written = [writes(each) for each in (tokens, weight, projected)]
        return cls(weakref.ref(tokens), weight, projected, written)

    def holds(self, tokens: torch.Tensor, weight: torch.Tensor) -> bool:
        """Whether it was made of these, and nobody has written to them or to it since."""
        same = self.tokens() is tokens and self.weight is weight
        return same and self.written == [writes(each) for each in (tokens, weight, self.projected)]


class _RemembersTokens(nn.Linear):
    """A linear layer that remembers its output for the tensor that it was last called with.

    Nothing is remembered where gradients are computed.
    """

    _known: _Known | None = None

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map ``[rows, tokens, width]``."""
        if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            return super().forward(tokens)
        if self._known is None or not self._known.holds(tokens, self.weight):
            self._known = None  # its memory is free before there is another
            projected = super().forward(tokens)
            self._known = _Known.of(tokens, self.weight, projected)
        return self._known.projected

    def __getstate__(self) -> dict[str, Any]:
        """Without what is remembered: a copy or a pickle has its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_known"}


class RememberingLinear(_RemembersTokens):
    """A linear layer that remembers its last output."""


class RememberingDeterministicLinear(_RemembersTokens, DeterministicLinear):
    """A deterministic one."""


_REMEMBERING: dict[type[nn.Linear], type[nn.Linear]] = {
    nn.Linear: RememberingLinear,
    DeterministicLinear: RememberingDeterministicLinear,
}


def remember_text_projections(unet: nn.Module) -> None:
    """Let a UNet's cross-attention layers project a text once for all calls that have it, to the same bits.

    A step's text is that of the step before wherever ``RowBatch.texts`` hands out the same tensor. Each layer
    remembers one text: about 8 MB per row of Stable Diffusion 1.x, in float32, and 51 of XL.

    Args:
        unet: ``UNet2DConditionModel``; layers of other classes than PyTorch's linear one stay as they are.
    """
    for attention in [module for module in unet.modules() if isinstance(module, Attention)]:
        if not attention.is_cross_attention:
            continue
        for name in ("to_k", "to_v"):
            layer = getattr(attention, name)
            if (kind := _REMEMBERING.get(type(layer))) is not None:
                make = partial(kind, layer.in_features, layer.out_features)
                attention.add_module(name, with_weights_of(layer, make))
