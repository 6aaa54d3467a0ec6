"""Latents as a sequence: each square patch of them is one token, as FLUX.1's transformer takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def packed(latents: torch.Tensor, side: int) -> torch.Tensor:
    """Cut latents into patches: tokens row by row, and in a token channel by channel, row by row.

    Args:
        latents: ``[rows, channels, h, w]``.
        side: of a patch.

    Returns:
        ``[rows, h / side * w / side, channels * side * side]``.
    """
    rows, channels, height, width = latents.shape
    patches = latents.reshape(rows, channels, height // side, side, width // side, side)
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def unpacked(tokens: torch.Tensor, grid: tuple[int, ...], side: int) -> torch.Tensor:
    """The latents of which tokens are the patches: ``packed`` reversed.

    Args:
        tokens: ``[rows, tokens, channels * side * side]``.
        grid: how many patches are below each other, and beside each other.
        side: of a patch.

    Returns:
        ``[rows, channels, h, w]``.

    >>> import torch
    >>> unpacked(torch.arange(8).reshape(1, 2, 4), (1, 2), side=2)
    tensor([[[[0, 1, 4, 5],
              [2, 3, 6, 7]]]])
    """
    rows, (below, beside) = len(tokens), grid
    patches = tokens.reshape(rows, below, beside, -1, side, side).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(rows, -1, below * side, beside * side)
