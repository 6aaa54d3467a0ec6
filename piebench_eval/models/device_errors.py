"""Classify errors of a GPU: too little memory for a batch, or a device that is unusable from then on."""

from __future__ import annotations

import gc
import re

_OUT_OF_MEMORY = re.compile(r"CUDA error: out of memory|CU\w+_ALLOC(ATION)?_FAILED")
"""CUDA, cuBLAS and cuDNN allocate memory of their own besides PyTorch's, which has an exception for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a call failed for lack of memory, so that a smaller one may succeed.

    >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    True
    """
    named = type(error).__name__.endswith("OutOfMemoryError")
    return named or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None)


def makes_device_unusable(error: BaseException) -> bool:
    """Whether every later call of this process fails too: an error in a CUDA kernel ends its CUDA context.

    >>> makes_device_unusable(RuntimeError("CUDA error: device-side assert triggered"))
    True
    """
    if is_out_of_memory(error):
        return False
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def is_device_error(error: BaseException) -> bool:
    """Whether a GPU failed, and not the code that uses it."""
    return is_out_of_memory(error) or makes_device_unusable(error)


def first_line(error: BaseException) -> str:
    """What an error says, without the advice on debugging that PyTorch adds to CUDA's."""
    return str(error).strip().split("\n")[0]


def release_memory() -> None:
    """Give back what a failed call has held.

    Call it once the call's exception is gone: the frames of its traceback hold the call's tensors.
    """
    import torch  # here: who hands out work knows these errors by their names, and needs no PyTorch

    gc.collect()
    torch.cuda.empty_cache()
