"""The image tower of a CLIP of transformers, without what no embedding reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class ClassTokenLayer(nn.Module):
    """The last layer of a CLIP's image tower, for the class token alone.

    An image's embedding is the class token of the last layer. Its keys and values are those of all tokens;
    queries, the output projection and the MLP are needed of one.
    """

    def __init__(self, layer: Any):
        """Wrap a layer.

        Args:
            layer: transformers' ``CLIPEncoderLayer``; its modules are shared, not copied.
        """
        super().__init__()
        self.layer = layer

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """From all tokens ``[images, tokens, width]`` to the class token's output, ``[images, 1, width]``."""
        attention, class_token = self.layer.self_attn, hidden_states[:, :1]
        normed = self.layer.layer_norm1(hidden_states)
        query, key, value = (
            projection(tokens).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for projection, tokens in (
                (attention.q_proj, normed[:, :1]),
                (attention.k_proj, normed),
                (attention.v_proj, normed),
            )
        )
        attended = functional.scaled_dot_product_attention(query, key, value, scale=attention.scale)
        class_token = class_token + attention.out_proj(attended.transpose(1, 2).flatten(2))
        return class_token + self.layer.mlp(self.layer.layer_norm2(class_token))


class QuickGELU(nn.Module):
    """QuickGELU with one intermediate tensor in the place of three, and the same bits."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """From any shape to the same one."""
        return values.mul(1.702).sigmoid_().mul_(values)


def embed_class_token_only(clip: Any) -> None:
    """Let the image tower compute its last layer for the class token alone.

    Args:
        clip: transformers' ``CLIPModel``, changed in place.
    """
    layers = clip.vision_model.encoder.layers
    layers[-1] = ClassTokenLayer(layers[-1])


def replace_activations(clip: Any, replacement: type[nn.Module]) -> None:
    """Replace QuickGELU in both towers.

    Args:
        clip: transformers' ``CLIPModel``, changed in place.
        replacement: ``QuickGELU`` above, or ``torch.nn.GELU``.
    """
    from transformers.activations import QuickGELUActivation

    for module in list(clip.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, QuickGELUActivation):
                setattr(module, name, replacement())
