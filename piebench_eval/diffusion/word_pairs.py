"""Pairing a target prompt's words that have no counterpart with the source's, by embeddings (InfEdit)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


def pair_unaligned(
    mapper: NDArray[np.int64], tokens: int, similarity: NDArray[np.float32]
) -> list[tuple[int, int]]:
    """One pair for each run of target tokens that an alignment leaves without a source token.

    Of a run's tokens and the source tokens between its aligned neighbours, the two that are most alike are
    paired; the first of equals. There is no pair where the source has nothing between them.

    Args:
        mapper: for each target position its source position, -1 where it has none, from
            ``words.refinement_alignment``.
        tokens: of the target prompt, start and end included; both are aligned.
        similarity: of target positions (rows) and source positions.

    Returns:
        Target and source position of each pair, in order.

    >>> pair_unaligned(np.array([0, -1, -1, 3]), 4, np.array([[0, 0], [0, 1], [0, 2], [0, 0]]).repeat(2, 1))
    [(2, 2)]
    """
    pairs, last = [], 0
    for place in range(1, tokens):
        if mapper[place] < 0:
            continue
        run = slice(last + 1, place)
        between = slice(int(mapper[last]) + 1, int(mapper[place]))
        alike = similarity[run, between]
        if alike.size:
            row, column = np.unravel_index(np.argmax(alike), alike.shape)
            pairs.append((run.start + int(row), between.start + int(column)))
        last = place
    return pairs


def cosine_similarity(states: torch.Tensor, others: torch.Tensor) -> NDArray[np.float32]:
    """Cosines of the angles between all embeddings of one prompt and all of another.

    Args:
        states: ``[tokens, width]``.
        others: likewise.

    Returns:
        ``[tokens of states, tokens of others]``.
    """
    from torch.nn import functional

    cosines = functional.normalize(states, dim=-1) @ functional.normalize(others, dim=-1).T
    found: NDArray[np.float32] = cosines.cpu().numpy()
    return found
