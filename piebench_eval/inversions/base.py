"""The interface of an inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.settings import Settings


@dataclass(frozen=True)
class Inversion:
    """An inversion: its name in print, its settings and its function.

    Attributes:
        title: its name in print.
        paper: where it was published.
        equation: its place in the paper.
        settings: the recipe section that it reads; every field has a default.
        invert: ``(model, inputs, schedule, settings) -> InversionResult`` for a batch.
    """

    title: str
    paper: str
    equation: str
    settings: type[Settings]
    invert: Callable[[Any, Any, Any, Any], InversionResult]
