"""The C library's allocator, told to keep what it has been given back."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt``."""

_NEVER = -1


@cache
def keep_freed_memory() -> bool:
    """Let this process reuse the memory of large tensors on a CPU.

    By default, glibc takes a tensor of more than 32 MB from the system and gives it back when it is freed;
    the next one of the same size costs a page fault for every 4 kB, about as long as an activation function
    takes to compute it. Freed memory is kept for the process from here on, so that it never needs less than
    it once did.

    Returns:
        Whether the C library takes such a wish; only glibc does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
