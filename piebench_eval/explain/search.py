"""Search the protocols that may have produced claimed numbers: each known deviation, then pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from piebench_eval.explain.hypotheses import affects, pairs, promising_pairs, rank, singles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.explain.deviations import Deviation
    from piebench_eval.explain.hypotheses import Claim, Finding, Hypothesis
    from piebench_eval.explain.protocol_scores import ProtocolScores

PairSelection = Literal["none", "likely", "all"]
"""Which pairs of deviations are tried; ``likely`` are those of ``promising_pairs``."""


def search_protocols(
    claims: Sequence[Claim],
    deviations: Sequence[Deviation],
    protocol_scores: ProtocolScores,
    pair_selection: PairSelection,
    on_progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> list[Finding]:
    """Rank the published protocol, single deviations and pairs of them by how well they explain claims.

    Args:
        claims: the reported numbers.
        deviations: the deviations to try; those that cannot change a claimed number are left out.
        protocol_scores: the scores of the edited images.
        pair_selection: which pairs are tried.
        on_progress: called with the current step, the number of finished images, and that of all.

    Returns:
        The findings, the best first.

    Raises:
        PiebenchError: a network cannot be loaded, an image cannot be read or has another size.
    """
    deviations = [deviation for deviation in deviations if affects(deviation, claims)]
    tried = len(deviations)
    hypotheses = singles(deviations)
    _compute_scores(hypotheses, claims, protocol_scores, "each deviation", on_progress)
    alone = rank(hypotheses, claims, protocol_scores, tried)
    if pair_selection == "none":
        return alone
    if pair_selection == "all":
        both = pairs(deviations)
    else:
        both = promising_pairs(deviations, alone, claims, protocol_scores)
    _compute_scores(both, claims, protocol_scores, "pairs of deviations", on_progress)
    return rank([*hypotheses, *both], claims, protocol_scores, tried)


def _compute_scores(
    hypotheses: Sequence[Hypothesis],
    claims: Sequence[Claim],
    protocol_scores: ProtocolScores,
    step: str,
    on_progress: Callable[[str, int, int], None],
) -> None:
    """Compute the scores that hypotheses need and that were not computed."""
    specs = protocol_scores.missing(
        required for hypothesis in hypotheses for required in hypothesis.required_scores(claims)
    )
    if not specs:
        return
    step = f"{step} ({len(specs)} scores a picture)"
    done, total = 0, len(protocol_scores.types)
    on_progress(step, done, total)
    for finished in protocol_scores.compute(specs):
        done += finished
        on_progress(step, done, total)
    on_progress(step, total, total)  # images whose scores the cache has are not reported one by one
