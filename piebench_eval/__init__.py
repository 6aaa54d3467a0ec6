"""piebench-eval: run, score and tabulate PIE-Bench, the benchmark of text-guided image editing.

From Python::

    import piebench_eval as pb

    edits = pb.run("runs/x", data="PIE-Bench_v1", config="paper", inversion="direct", method="p2p")
    scores = pb.score("runs/x")
    pb.table("runs/x", compare_paper=True)
    pb.edit("cat.png", "a cat on a chair", "a dog on a chair", blended_word="cat dog")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError, PiebenchWarning
from piebench_eval.thread_waiting import limit_spinning
from piebench_eval.version import __version__ as __version__

if TYPE_CHECKING:
    from piebench_eval.api.editing import edit
    from piebench_eval.api.running import run
    from piebench_eval.api.scoring import score
    from piebench_eval.api.tabulating import table
    from piebench_eval.diffusion.observer import EditObserver

__all__ = ["EditObserver", "PiebenchError", "PiebenchWarning", "edit", "run", "score", "table"]

limit_spinning()  # PyTorch reads the limit when it is imported

_MODULES = {
    "EditObserver": "diffusion.observer",
    "edit": "api.editing",
    "run": "api.running",
    "score": "api.scoring",
    "table": "api.tabulating",
}


def __getattr__(name: str) -> Any:
    """Import what is offered on first access: torch and diffusers take seconds to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
