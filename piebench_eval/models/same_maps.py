"""Attention of several rows that have the same maps, which are then computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

_WIDEST = 128
"""The widest values, over all rows that share maps, with which one call of the fused kernel takes less than
one for each row."""


def maps_can_be_shared(query: torch.Tensor, rows: int) -> bool:
    """Whether a map serves so many rows in less time than one map each.

    Args:
        query: of self-attention ``[..., positions, width]``.
        rows: how many share a map.
    """
    from piebench_eval.models.onednn import attends_by_onednn

    narrow = rows * query.shape[-1] <= _WIDEST
    return rows > 1 and (narrow or attends_by_onednn(query, query))


def attention_by_same_maps(
    query: torch.Tensor, key: torch.Tensor, values: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Attention by one map to each of several values.

    The fused kernel wants queries and keys that are as wide as values: zeros that they are widened by add
    nothing to a map.

    Args:
        query: ``[samples, heads, positions, width]``.
        key: ``[samples, heads, tokens, width]``.
        values: each as ``key``.

    Returns:
        For each of the values its attention, as ``query``.
    """
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention

    from piebench_eval.models.onednn import attends_by_onednn, onednn_attention

    width = query.shape[-1]
    more = (len(values) - 1) * width
    side_by_side = torch.cat(list(values), dim=-1)
    if attends_by_onednn(query, key):
        attended = onednn_attention(query, key, side_by_side)
    else:
        attended = scaled_dot_product_attention(
            pad(query, (0, more)), pad(key, (0, more)), side_by_side, scale=width**-0.5
        )
    return list(attended.split(width, dim=-1))
