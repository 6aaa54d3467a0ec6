"""The scores of a block of edits by one metric."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import torch

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics import METRICS

if TYPE_CHECKING:
    from piebench_eval.metrics.edits import Edits


def score_edits(edits: Edits, column: str) -> list[float]:
    """Score a block of edits by one metric.

    Args:
        edits: the edits, under a protocol.
        column: name of the metric.

    Returns:
        The scores of the edits, in their order.

    Raises:
        PiebenchError: a network cannot be loaded, or a plugin's metric failed.
    """
    plugin = METRICS.origin(column)
    try:
        with torch.inference_mode():
            scores = [float(score) for score in METRICS.get(column).score(edits)]
    except Exception as error:
        if plugin is None or isinstance(error, PiebenchError):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise PiebenchError(
            f"{plugin}: metric {column} failed with {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error
    if len(scores) != len(edits.owners):
        raise PiebenchError(
            f"{plugin}: metric {column} gave {len(scores)} scores for {len(edits.owners)} edits; give one "
            "for each"
        )
    return scores
