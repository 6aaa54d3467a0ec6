"""A UNet's layers without what changes nothing in them: divisions by 1, and options that are looked for."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.resnet import ResnetBlock2D

from piebench_eval.models.attention import hooked_processor, plain_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from piebench_eval.models.attention import AttentionHook, AttentionLayer

    Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class PlainAttention:
    """An attention processor of layers without options: what ``AttnProcessor2_0`` does there, to the bit.

    Args:
        attend: attention of queries to keys and values, each ``[rows, heads, positions, width]``.
        masked: the processor of calls with a mask.
    """

    def __init__(self, attend: Attend = plain_attention, masked: Any = None):
        self._attend = attend
        self._masked = AttnProcessor2_0() if masked is None else masked
        # diffusers reads its signature at every call, and it takes longer to make than to find.
        self.__call__ = _arguments  # type: ignore[method-assign, assignment]

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Let positions ``[rows, positions, channels]`` attend to each other, or to a text's tokens."""
        output: torch.Tensor
        if attention_mask is not None:
            output = self._masked(attn, hidden_states, encoder_hidden_states, attention_mask)
            return output
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(seen), attn.to_v(seen)
        attended = self._attend(*(_of_heads(projected, attn.heads) for projected in (query, key, value)))
        joined = attended.transpose(1, 2).reshape(query.shape).to(query.dtype)
        output = attn.to_out[0](joined)
        return output

    def hooked(self, layer: AttentionLayer, hook: AttentionHook) -> PlainAttention:
        """The processor with its attention left to a hook."""
        return PlainAttention(partial(hook.attend, layer), hooked_processor(self._masked, layer, hook))


def _arguments(
    attn: Attention,
    hidden_states: torch.Tensor,
    encoder_hidden_states: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
) -> None:
    """What a ``PlainAttention`` is called with."""


_arguments.__signature__ = inspect.signature(_arguments)  # type: ignore[attr-defined]


def _of_heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """``[rows, positions, channels]`` as ``[rows, heads, positions, width]``."""
    rows, positions, channels = projected.shape
    return projected.view(rows, positions, heads, channels // heads).transpose(1, 2)


class PlainResidualBlock(ResnetBlock2D):
    """A residual block without options."""

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor) -> torch.Tensor:
        """Map ``[rows, channels, height, width]``, at embedded times ``[rows, width]``."""
        hidden = self.conv1(self.nonlinearity(self.norm1(input_tensor)))
        hidden = hidden + self.time_emb_proj(self.nonlinearity(temb))[:, :, None, None]
        hidden = self.conv2(self.nonlinearity(self.norm2(hidden)))
        shortcut = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        output: torch.Tensor = shortcut + hidden
        return output


def use_plain_layers(unet: Any) -> None:
    """Let layers without options compute what they do without looking for any, to the same bits.

    Of Stable Diffusion 1.x that is 54 operations, and a third of the time in which Python goes through a
    call: a GPU waits for that wherever a batch is small.

    Args:
        unet: ``UNet2DConditionModel`` that is not trained; layers with options stay as they are.
    """
    for module in unet.modules():
        if type(module) is ResnetBlock2D and _is_plain_block(module):
            module.__class__ = PlainResidualBlock
        elif isinstance(module, Attention) and _is_plain_attention(module):
            module.set_processor(PlainAttention())


def _is_plain_block(block: Any) -> bool:
    resamples = block.upsample is not None or block.downsample is not None
    by_time = block.time_embedding_norm == "default" and block.time_emb_proj is not None
    scales = block.output_scale_factor != 1 or block.dropout.p > 0
    return by_time and not (block.skip_time_act or resamples or scales)


def _is_plain_attention(layer: Any) -> bool:
    if type(layer.processor) is not AttnProcessor2_0 or layer.norm_cross or layer.residual_connection:
        return False
    norms = (layer.spatial_norm, layer.group_norm, layer.norm_q, layer.norm_k)
    scales = layer.rescale_output_factor != 1 or layer.to_out[1].p > 0
    return all(norm is None for norm in norms) and not scales
