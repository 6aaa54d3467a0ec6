"""Indexing a batch on its device: an index that comes from the host makes the host wait for a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def device_index(places: Sequence[int], device: torch.device | None) -> torch.Tensor:
    """An index tensor ``[places]`` (int64) that the device itself makes, from runs of neighbours.

    >>> import torch
    >>> device_index([0, 1, 2, 7, 4, 5], torch.device("cpu"))
    tensor([0, 1, 2, 7, 4, 5])
    """
    import torch

    breaks = [at for at in range(1, len(places)) if places[at] != places[at - 1] + 1]
    runs = [
        torch.arange(places[start], places[end - 1] + 1, device=device)
        for start, end in zip([0, *breaks], [*breaks, len(places)], strict=True)
        if end > start
    ]
    if not runs:
        return torch.zeros(0, dtype=torch.int64, device=device)
    return runs[0] if len(runs) == 1 else torch.cat(runs)


def take(tensor: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """Entries of a tensor along its first axis; the tensor itself if these are all of it, in order.

    Args:
        tensor: ``[batch, ...]``.
        places: which entries.

    Returns:
        ``[places, ...]``.
    """
    if list(places) == list(range(len(tensor))):
        return tensor
    return tensor[device_index(places, tensor.device)]
