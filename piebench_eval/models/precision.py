"""Precision of float32 arithmetic: exact by default, TF32 where it is asked for."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def use_exact_float32() -> None:
    """Let float32 mean the same everywhere.

    On a GPU, TF32 is switched off, which CUDA convolutions use by default: it moves latents and scores by
    far more than the reference's tolerances. On a CPU, MKL sums in an order that does not depend on
    the number of threads, and with it on how many workers share the machine.
    """
    _allow_tf32(False)
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # MKL reads it at its first product


@contextmanager
def tf32(wanted: bool = True) -> Iterator[None]:
    """Let a GPU multiply float32 numbers as TF32, of ten bits, as long as the context lasts."""
    _allow_tf32(wanted)
    try:
        yield
    finally:
        _allow_tf32(False)


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed
    # PyTorch 2.9 gave each kind of operation its own precision. One that names none follows a setting of
    # the whole process, which the two switches above leave as it is.
    cudnn: Any = torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        for operation in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn):
            operation.fp32_precision = "tf32" if allowed else "ieee"
