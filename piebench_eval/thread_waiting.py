"""How long the threads of arithmetic wait for each other without sleeping."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

SPIN_COUNT = 1000
"""Turns of the waiting loop before a thread sleeps, about 30 microseconds; libgomp, which comes with PyTorch,
has 300,000.

On a machine of one's own, that is as long as most waits between two operations. Where others use the cores
too, waits are longer, and a thread that waits in a loop keeps the core from the one that it waits for.
"""

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def bound_waiting(environment: MutableMapping[str, str] = os.environ) -> None:
    """Bound the waiting of OpenMP's threads, unless the user has said how they are to wait.

    It is read when PyTorch is loaded, here and in every process that this one starts.

    Args:
        environment: variables of this process.
    """
    if not any(name in environment for name in _VARIABLES):
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
