"""What an editing method is to the rest of the house."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.bench.sample import Sample
    from piebench_eval.diffusion.edit_loop import Control
    from piebench_eval.registry import Settings


@dataclass(frozen=True)
class PreparedControl:
    """A method made ready for a batch.

    Attributes:
        control: what acts in the edit loop.
        notes: for each sample, what its user should know (a word that is not in the prompt, say).
    """

    control: Control
    notes: list[list[str]]


@dataclass(frozen=True)
class Method:
    """An editing method: its name in print, its settings and its functions.

    Attributes:
        title: as papers call it.
        paper: where it was published.
        equation: where in the paper it stands.
        settings: the recipe section that it reads; every field has a default.
        problem: ``(sample, settings)`` -> why the method cannot edit the sample, or None.
        prepare: ``(samples, backbone, steps, settings) -> PreparedControl`` for a batch.
    """

    title: str
    paper: str
    equation: str
    settings: type[Settings]
    problem: Callable[[Sample, Any], str | None]
    prepare: Callable[[Sequence[Sample], Any, int, Any], PreparedControl]
