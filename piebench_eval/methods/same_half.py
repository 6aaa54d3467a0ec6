"""What the target's rows take from the source's rows of the same half, as several methods do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.diffusion.rows import Row

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.rows import RowBatch
    from piebench_eval.models.attention import AttentionLayer

SAME_HALF = ((Row.SOURCE_UNCOND, Row.TARGET_UNCOND), (Row.SOURCE_COND, Row.TARGET_COND))
"""Source and target row of each half."""


def image_from_source(
    states: torch.Tensor, layer: AttentionLayer, rows: RowBatch, num_samples: int
) -> torch.Tensor:
    """Keys or values whose target rows have the source's at the image's positions; the text's stay.

    Args:
        states: ``[rows, heads, positions, width]`` of a self- or joint attention.
        layer: the layer.
        rows: the rows of the call.
        num_samples: of the batch; all of them take.
    """
    everyone, states = range(num_samples), states.clone()
    for source, target in SAME_HALF:
        if target in rows.samples_by_row:
            of_source, of_target = rows.index(source, everyone), rows.index(target, everyone)
            states[of_target, :, layer.image] = states[of_source, :, layer.image]
    return states
