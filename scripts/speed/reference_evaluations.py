"""Model evaluations that the reference implementation spends on an edit, in rows of a batch.

Source: the passes of its scripts (Ju et al., ICLR 2024), counted; among them are passes whose result is only
shown beside the edit, or dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piebench_eval.recipes.combination import Combination

_INNER_UPDATES = 10
"""Updates of a null-text embedding per step, at most."""


@dataclass(frozen=True)
class Passes:
    """The evaluations of a script per step.

    Attributes:
        inversion: from the image to the noise.
        sampling: everything after it, over the steps that the inversion does not skip.
        updates: updates of embeddings at most, each an evaluation forward and backward.
    """

    inversion: int
    sampling: int
    updates: int = 0


_P2P = 2 + 4  # a guided reconstruction of the source that is only shown, and the edit
_TUNED = 1 + 2 + _P2P  # beside the updates: the conditional row, the step with the tuned embedding
_MASACTRL = 2 + 4  # a sample of the target prompt that is dropped, and the edit

PASSES = {
    "ddim+p2p": Passes(1, 2 + _P2P),  # null-text's loop runs, without an update
    "direct+p2p": Passes(1, 4 + 4 + 4),  # the offsets of both branches, a reconstruction of both, the edit
    "null_text+p2p": Passes(1, _TUNED, _INNER_UPDATES),
    "null_text+proximal": Passes(1, _TUNED, _INNER_UPDATES),
    "negative_prompt+p2p": Passes(1, _P2P),
    "negative_prompt+proximal": Passes(1, _P2P),
    "ddim+masactrl": Passes(2, _MASACTRL),
    "direct+masactrl": Passes(1, 4 + _MASACTRL),  # the offsets first
    "ddim+pnp": Passes(1, 1 + 3),  # a reconstruction, and the edit
    "direct+pnp": Passes(1, 1 + 3),
    "edit_friendly+p2p": Passes(2, 2 + 4),  # a sample of the target prompt that is dropped, and the edit
}
"""By the names of the combinations here; the paper has no others."""

FLOW_EVALUATIONS = {
    "flowedit-flux": 2 * 24,  # source and target in each of 24 steps
    "flowedit-sd3.5": 4 * 33,  # both with their unconditional halves
    "rf-solver-edit-flux": 2 * 2 * 15,  # inversion and edit, each of two evaluations a step
    "fireflow-flux": 2 * (8 + 1),  # one evaluation a step, and one more at either start
    "uniedit-flux": (9 + 1) + 2 * 9,  # the inversion, and source and target in every step of the edit
    "uniedit-sd3.5": (9 + 1) + 2 * 9,
    "rf-inversion-flux": 2 * 28,  # inversion and edit
    "flowalign-sd3.5": 3 * 33,
    "dnaedit-flux": 2 * 24,  # alignment and edit
    "dnaedit-sd3.5": (2 + 2) * 27,  # the alignment's unconditional half at guidance 1, too
}
"""Evaluations that their authors' code spends on an edit, by the runs of ``flow-table``, at its settings."""


def reference_evaluations(combination: Combination, skipped_steps: int = 0) -> tuple[int, int] | None:
    """Evaluations of the reference for an edit, forward and backward; None if it has no such combination.

    Args:
        combination: the combination; its steps and the guidance of its inversion count.
        skipped_steps: how many the inversion skips.

    >>> from piebench_eval.recipes.recipe import build_recipe
    >>> fields = {"model": "demo", "inversions": ["direct"], "methods": ["p2p"], "steps": 50}
    >>> reference_evaluations(build_recipe(fields, {}, "example").combination("direct", "p2p"))
    (650, 0)
    """
    if (passes := PASSES.get(combination.name)) is None:
        return None
    steps = combination.common.steps
    inversion = passes.inversion
    if inversion == 1 and getattr(combination.inversion_settings, "guidance", 1) != 1:
        inversion = 2
    forward = inversion * steps + passes.sampling * (steps - skipped_steps) + passes.updates * steps
    return forward, passes.updates * steps
