"""Which protocol turns the pictures at hand into the numbers that somebody claims."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.errors import PiebenchError
from piebench_eval.explain.deviations import compatible
from piebench_eval.metrics import METRICS as REGISTRY
from piebench_eval.metrics.protocol import PAPER, Protocol
from piebench_eval.tables.layout import METRICS, metrics_in
from piebench_eval.tables.statistics.averages import mean_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.explain.deviations import Deviation
    from piebench_eval.explain.protocol_scores import ProtocolColumn, ProtocolScores
    from piebench_eval.tables.layout import TableMetric

_FINEST = 1e-4
"""Relative difference that arithmetic alone may make, whatever digits are claimed."""

PROMISING = 12
"""Deviations that are tried in pairs even where that takes computing."""


@dataclass(frozen=True)
class Claim:
    """A number that somebody reports.

    Attributes:
        metric: of which metric.
        value: in the table's unit.
        unit: how far the true value may be from it: half of its last digit.
    """

    metric: TableMetric
    value: float
    unit: float


def parse_claims(text: str) -> list[Claim]:
    """Read claims such as ``psnr=27.22 clip_whole=25.02``, in the units of Table 1.

    Raises:
        PiebenchError: something that is no claim, an unknown metric, or none at all.

    >>> [(claim.metric.key, claim.value, claim.unit) for claim in parse_claims("psnr=27.22, lpips=54.6")]
    [('psnr', 27.22, 0.005), ('lpips', 54.6, 0.05)]
    """
    claims: dict[str, Claim] = {}
    for part in re.split(r"[\s,;]+", text.strip()):
        name, _, number = part.partition("=")
        if not re.fullmatch(r"-?\d+(\.\d*)?", number):
            raise PiebenchError(f"--claimed {part!r}: write METRIC=NUMBER, as in psnr=27.22")
        metric = _metric(name)
        if metric.column in claims:
            raise PiebenchError(f"--claimed {part}: {name} is claimed twice; leave one out")
        value, decimals = float(number), len(number.partition(".")[2])
        unit = max(0.5 * 10**-decimals, _FINEST * abs(value))
        claims[metric.column] = Claim(metric, value, unit)
    return list(claims.values())


def _metric(name: str) -> TableMetric:
    for metric in METRICS:
        if metric.key == name:
            return metric
    if name in REGISTRY.names():
        return metrics_in([name])[0]
    metrics = ", ".join(metric.key for metric in METRICS)
    raise PiebenchError(f"--claimed: no metric {name!r}; use {metrics} or a column of scores.csv")


@dataclass(frozen=True)
class Hypothesis:
    """A protocol that may be behind the claims.

    Attributes:
        deviations: in what it departs from the paper's; none for the paper's own.
    """

    deviations: tuple[Deviation, ...]

    @cached_property
    def protocol(self) -> Protocol:
        """Its rules."""
        protocol = PAPER
        for deviation in self.deviations:
            protocol = protocol.choosing(deviation.changes)
        return protocol

    @property
    def title(self) -> str:
        """What is done differently, in words."""
        return " + ".join(deviation.title for deviation in self.deviations) or "the published protocol"

    def required_scores(self, claims: Sequence[Claim]) -> list[ProtocolColumn]:
        """What must be known to hold it against claims."""
        return [(claim.metric.column, self.protocol) for claim in claims]


@dataclass(frozen=True)
class Finding:
    """How well a hypothesis reproduces the claims.

    Attributes:
        hypothesis: the protocol.
        predicted: a number for each claim, in the table's unit.
        misfit: root mean square of the differences, each in units of its claim.
        reproduced: how many claims it meets within their rounding.
        length: description length in nats: of the deviations, and of the claims that it misses.
    """

    hypothesis: Hypothesis
    predicted: tuple[float, ...]
    misfit: float
    reproduced: int
    length: float


def weigh(
    hypotheses: Iterable[Hypothesis], claims: Sequence[Claim], protocol_scores: ProtocolScores, tried: int
) -> list[Finding]:
    """Rank hypotheses by how well they explain the claims.

    The shortest description wins (Rissanen, Modeling by Shortest Data Description, 1978). Naming a deviation
    takes the logarithm of how many there are to choose from. A claim that is met within its rounding takes
    nothing; one that is not takes the logarithm of its distance, and as much as a deviation, since something
    else must be behind it.

    Args:
        hypotheses: what to try.
        claims: what is reported.
        protocol_scores: has the answers to every hypothesis's questions.
        tried: how many deviations there are to choose from.

    Returns:
        The findings, the best first; without hypotheses that predict no number.
    """
    findings = [_hold(hypothesis, claims, protocol_scores, tried) for hypothesis in hypotheses]
    finite = [finding for finding in findings if math.isfinite(finding.misfit)]
    return sorted(finite, key=lambda finding: (finding.length, finding.misfit))


def _hold(
    hypothesis: Hypothesis, claims: Sequence[Claim], protocol_scores: ProtocolScores, tried: int
) -> Finding:
    protocol = hypothesis.protocol
    predicted = tuple(
        mean_of(protocol_scores.values(claim.metric.column, protocol), claim.metric, protocol.average)
        for claim in claims
    )
    away = np.array(
        [abs(number - claim.value) / claim.unit for number, claim in zip(predicted, claims, strict=True)]
    )
    missed = away[~(away <= 1)]
    length = float(np.log(missed).sum()) + (len(missed) + len(hypothesis.deviations)) * math.log(tried)
    misfit = float(np.sqrt((away**2).mean()))
    return Finding(hypothesis, predicted, misfit, len(claims) - len(missed), length)


def concerns(deviation: Deviation, claims: Sequence[Claim]) -> bool:
    """Whether a deviation can change any of the claimed numbers."""
    columns = [claim.metric.column for claim in claims]
    sections = {section for column in columns for section in REGISTRY.get(column).sections}
    average = set(deviation.changes.get("average", {}))
    if average & {"inf", "psnr"}:
        return any(column.startswith("psnr") for column in columns)
    return bool(average or sections & set(deviation.changes))


def singles(deviations: Iterable[Deviation]) -> list[Hypothesis]:
    """The published protocol, and each deviation alone."""
    return [Hypothesis(()), *(Hypothesis((deviation,)) for deviation in deviations)]


def pairs(deviations: Iterable[Deviation]) -> list[Hypothesis]:
    """Every two deviations that can go together."""
    return [Hypothesis(pair) for pair in combinations(deviations, 2) if compatible(pair)]


def worthwhile_pairs(
    deviations: Iterable[Deviation],
    alone: Sequence[Finding],
    claims: Sequence[Claim],
    protocol_scores: ProtocolScores,
) -> list[Hypothesis]:
    """Pairs that the protocol_scores at hand answers, and those of the most promising deviations.

    Two deviations that touch different metrics need no computing together that they did not need alone.

    Args:
        deviations: what there is to choose from.
        alone: how each of them does alone, the best first.
        claims: what is reported.
        protocol_scores: what was computed for them alone.
    """
    ranked = [finding.hypothesis.deviations[0] for finding in alone if finding.hypothesis.deviations]
    promising = {deviation.key for deviation in ranked[:PROMISING]}
    return [
        pair
        for pair in pairs(deviations)
        if all(deviation.key in promising for deviation in pair.deviations)
        or all(protocol_scores.knows(*required) for required in pair.required_scores(claims))
    ]


def alike(best: Finding, others: Iterable[Finding], claims: Sequence[Claim]) -> list[Finding]:
    """Other findings of as few deviations whose predictions the claims cannot tell from the best one's."""
    return [
        other
        for other in others
        if other is not best
        and len(other.hypothesis.deviations) == len(best.hypothesis.deviations)
        and all(
            abs(one - two) <= claim.unit
            for one, two, claim in zip(best.predicted, other.predicted, claims, strict=True)
        )
    ]
