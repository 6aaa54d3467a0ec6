"""Limit how long OpenMP threads spin while they wait for each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

SPIN_COUNT = 1000
"""Iterations of the waiting loop before a thread sleeps, about 30 microseconds; libgomp's default is 300,000.

Most waits between two operations are shorter on an idle machine. On a busy one they are longer, and a
spinning thread occupies the core that the awaited thread needs.
"""

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit the spinning of OpenMP threads, unless the environment sets a waiting policy already.

    PyTorch reads the variable when it is loaded, here and in child processes.

    Args:
        environment: environment variables of this process.
    """
    if not any(name in environment for name in _VARIABLES):
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
