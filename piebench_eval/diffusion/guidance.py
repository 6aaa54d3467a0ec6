"""Guidance of the two branches: which scales, and whether they cost rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Guidance:
    """The guidance scales of an edit's branches, and how the model takes them.

    Attributes:
        target: scale of the target branch.
        source: scale of the source branch; the target's if None.
        policy: ``classifier_free``: a scale other than 1 needs an unconditional row. ``embedded``: the scale
            is an input of the model, row by row, and there are no unconditional rows.
        embedded: the scale that the model takes as an input for the target's rows under ``classifier_free``,
            where it takes one; 1 for the source's. Nothing is put in if None.
    """

    target: float = 7.5
    source: float | None = None
    policy: Literal["classifier_free", "embedded"] = "classifier_free"
    embedded: float | None = None

    @property
    def of_source(self) -> float:
        """The source branch's scale."""
        return self.target if self.source is None else self.source

    @property
    def source_key(self) -> dict[str, Any]:
        """What the source branch's guidance depends on, for cache keys: not on the target's scale."""
        return {"scale": self.of_source, "policy": self.policy}

    def needs_uncond(self, scale: float) -> bool:
        """Whether a branch of a scale needs unconditional rows; at 1, guidance is the conditional output."""
        return self.policy == "classifier_free" and scale != 1


def guide(uncond: torch.Tensor, cond: torch.Tensor, guidance: float) -> torch.Tensor:
    """Classifier-free guidance (Ho & Salimans, 2022, equation 6 in Stable Diffusion's parametrisation)."""
    return uncond + guidance * (cond - uncond)
