"""Index a batch without a copy from the host, for which the host would wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def device_index(places: Sequence[int], device: torch.device | None) -> torch.Tensor:
    """Make an index tensor on the device, from ranges of consecutive places, without a copy from the host.

    Args:
        places: entries of the index.
        device: where to make it; the CPU if None.

    Returns:
        ``places`` as int64 ``[len(places)]``.

    >>> import torch
    >>> device_index([0, 1, 2, 7, 4, 5], torch.device("cpu"))
    tensor([0, 1, 2, 7, 4, 5])
    """
    import torch

    breaks = [at for at in range(1, len(places)) if places[at] != places[at - 1] + 1]
    ranges = [
        torch.arange(places[start], places[end - 1] + 1, device=device)
        for start, end in zip([0, *breaks], [*breaks, len(places)], strict=True)
        if end > start
    ]
    if not ranges:
        return torch.zeros(0, dtype=torch.int64, device=device)
    return ranges[0] if len(ranges) == 1 else torch.cat(ranges)


def writes(tensor: torch.Tensor) -> object:
    """How often a tensor or what it is a view of has been written to in place.

    Where PyTorch does not count that, in tensors made in inference mode: a new object, equal to no other.
    """
    return object() if tensor.is_inference() else tensor._version


def take(tensor: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """Entries of a tensor along its first axis; the tensor itself if these are all of it, in order.

    Args:
        tensor: ``[batch, ...]``.
        places: which entries.

    Returns:
        ``[len(places), ...]``.
    """
    if list(places) == list(range(len(tensor))):
        return tensor
    return tensor[device_index(places, tensor.device)]
