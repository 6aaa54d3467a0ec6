"""A transformer whose blocks lie on the CPU, each on the GPU only while it computes; no bit changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from piebench_eval.errors import PiebenchError
from piebench_eval.models.quantization import FULL, blocks_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from piebench_eval.models.families import Family

_OPTION = "--sequential-offload"


def check_sequential_offload(family: Family | None, weights: str, compiled: bool = False) -> None:
    """Refuse to offload what cannot be offloaded block by block.

    Args:
        family: the model's; None if it is not known yet.
        weights: as in ``load_model``.
        compiled: whether blocks are to be compiled.

    Raises:
        PiebenchError: the model has a UNet, its weights are quantised, or its blocks are to be compiled.
    """
    if family is not None and not family.has_transformer:
        raise PiebenchError(
            f"{_OPTION}: moves the blocks of transformers, and {family.title} has a UNet; leave it out"
        )
    if weights != FULL:
        raise PiebenchError(
            f"{_OPTION}: moves full weights, not those of weights={weights}; leave one of the two out"
        )
    if compiled:
        raise PiebenchError(f"{_OPTION}: does not go with --compile; leave one of the two out")


def offloads_blocks(device: torch.device, asked: bool) -> bool:
    """Whether a transformer's blocks leave a device; only a GPU is one to leave."""
    return asked and device.type == "cuda"


def offload_blocks(denoiser: Any, device: torch.device) -> None:
    """Keep a transformer's blocks on the CPU, and bring each to a device when it is called, the rest at once.

    A block is copied from pinned memory, in the order of the GPU's work, and its place there is free when it
    has computed. The copies on the CPU are the weights themselves: nothing is copied back.

    Args:
        denoiser: ``SD3Transformer2DModel`` or ``FluxTransformer2DModel``, on the CPU.
        device: where it computes.
    """
    blocks = blocks_of(denoiser)
    of_blocks = {module for block in blocks for module in block.modules()}
    _place(_tensors(module for module in denoiser.modules() if module not in of_blocks), device)
    for block in blocks:
        _offload(block, device)


class _Held(NamedTuple):
    """A parameter or buffer, and where it is found."""

    module: torch.nn.Module
    name: str
    tensor: torch.Tensor


def _tensors(modules: Iterable[torch.nn.Module]) -> list[_Held]:
    return [
        _Held(module, name, tensor)
        for module in modules
        for of_kind in (module.named_parameters, module.named_buffers)
        for name, tensor in of_kind(recurse=False)
    ]


def _place(held: Iterable[_Held], device: torch.device) -> None:
    from torch.nn import Parameter

    for module, name, tensor in held:
        moved = tensor.to(device, non_blocking=True)
        setattr(module, name, Parameter(moved, False) if isinstance(tensor, Parameter) else moved)


def _offload(block: torch.nn.Module, device: torch.device) -> None:
    if device.type == "cuda":
        for tensor in (*block.parameters(), *block.buffers()):
            tensor.data = tensor.data.pin_memory()
    home = _tensors(block.modules())

    def come(*_called: Any) -> None:
        _place(home, device)

    def leave(*_called: Any) -> None:
        for module, name, tensor in home:
            setattr(module, name, tensor)

    block.register_forward_pre_hook(come)
    block.register_forward_hook(leave, always_call=True)  # also where the device has run out of memory
