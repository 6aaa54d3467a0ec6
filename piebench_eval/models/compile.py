"""Compiling a UNet's blocks, around its attention."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHAPES = 256
"""Shapes that are compiled before PyTorch gives up: SD v1 has some twenty, for every number of rows."""


def compile_blocks(unet: Any, backend: str = "inductor") -> None:
    """Compile residual blocks and feed-forward layers in place, each for every shape that it meets.

    Attention is left as it is: methods take part in it step by step, and whatever follows a step's number
    would be compiled anew at every step. Its kernel is fused already. A shape is compiled when it is first
    met: a run has a few numbers of rows, and goes from one to the next without compiling again.

    Args:
        unet: ``UNet2DConditionModel``.
        backend: who compiles, see ``torch.compile``.
    """
    from diffusers.models.attention import FeedForward
    from diffusers.models.resnet import ResnetBlock2D

    blocks = [module for module in unet.modules() if isinstance(module, ResnetBlock2D | FeedForward)]
    _raise_limit(("recompile_limit", "cache_size_limit"), _SHAPES)
    # Blocks of one class share their code: this one counts what all of them together have compiled.
    all_blocks = ("accumulated_recompile_limit", "accumulated_cache_size_limit")
    _raise_limit(all_blocks, _SHAPES * max(1, len(blocks)))
    for block in blocks:
        block.compile(dynamic=False, backend=backend)


def _raise_limit(names: Sequence[str], least: int) -> None:
    """Raise one of PyTorch's limits by the first of its names that this version knows, if it knows any."""
    import torch

    config = torch._dynamo.config
    for name in names:
        if hasattr(config, name):
            setattr(config, name, max(getattr(config, name), least))
            return


@contextmanager
def uncompiled(unet: Any, name: str) -> Iterator[None]:
    """Run the blocks around a module without compiled code, which ignores hooks on the module.

    Args:
        unet: ``UNet2DConditionModel``.
        name: the module's.
    """
    parts = name.split(".")
    around = [unet.get_submodule(".".join(parts[:length])) for length in range(1, len(parts) + 1)]
    compiled = [(module, module._compiled_call_impl) for module in around]
    for module in around:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, implementation in compiled:
            module._compiled_call_impl = implementation
