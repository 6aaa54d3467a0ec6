"""Whether what the page is made with is installed; it is asked before anything heavy is imported."""

from __future__ import annotations

from importlib.util import find_spec

from piebench_eval.errors import PiebenchError


def require_gradio() -> None:
    """Refuse to begin without Gradio.

    Raises:
        PiebenchError: says how to install it.
    """
    if find_spec("gradio") is None:
        raise PiebenchError("the studio needs Gradio; pip install 'piebench-eval[studio]'")
