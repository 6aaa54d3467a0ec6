"""Hide the progress bars of other libraries."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from piebench_eval.warning_filters import ignored_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("diffusers.utils.logging", "transformers.utils.logging")
_HUB = "huggingface_hub.utils"


@contextmanager
def hidden_progress_bars() -> Iterator[None]:
    """Hide the bars of diffusers, transformers and huggingface_hub, if imported, during the body.

    They draw one or two bars for each component of a model. Bars that were disabled before stay disabled.
    """
    with ExitStack() as shown_again:
        for name in _LIBRARIES:
            library = sys.modules.get(name)
            if library is not None and library.is_progress_bar_enabled():
                library.disable_progress_bar()
                shown_again.callback(library.enable_progress_bar)
        hub = sys.modules.get(_HUB)
        if hub is not None and not hub.are_progress_bars_disabled():
            with ignored_warnings():  # warns if an environment variable enables bars
                hub.disable_progress_bars()
            shown_again.callback(hub.enable_progress_bars)
        yield
