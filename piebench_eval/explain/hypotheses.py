"""Rank hypotheses: protocols that may have produced claimed numbers."""

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
from piebench_eval.explain.protocol_scores import TELLS_BACKGROUND
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS
from piebench_eval.metrics.protocol import PAPER, Protocol
from piebench_eval.tables.layout import TABLE_METRICS, metrics_in
from piebench_eval.tables.statistics.averages import mean_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.explain.deviations import Deviation
    from piebench_eval.explain.protocol_scores import ProtocolColumn, ProtocolScores
    from piebench_eval.tables.layout import TableMetric

_FINEST = 1e-4
"""Relative difference that rounding in the computation can make."""

PROMISING = 12
"""How many of the best deviations are tried in pairs even if new scores must be computed."""


@dataclass(frozen=True)
class Claim:
    """A reported number.

    Attributes:
        metric: the metric.
        value: the number, in the table's unit.
        rounding: half of its last digit: the most by which rounding changed it.
    """

    metric: TableMetric
    value: float
    rounding: float


def parse_claims(text: str) -> list[Claim]:
    """Read claims such as ``psnr=27.22 clip_whole=25.02``, in the units of Table 1.

    Raises:
        PiebenchError: a claim is malformed, repeated, or of an unknown metric.

    >>> [(claim.metric.key, claim.value, claim.rounding) for claim in parse_claims("psnr=27.22, lpips=54.6")]
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
        rounding = max(0.5 * 10**-decimals, _FINEST * abs(value))
        claims[metric.column] = Claim(metric, value, rounding)
    return list(claims.values())


def _metric(name: str) -> TableMetric:
    for metric in TABLE_METRICS:
        if metric.key == name:
            return metric
    if name in METRICS.names():
        return metrics_in([name])[0]
    metrics = ", ".join(metric.key for metric in TABLE_METRICS)
    raise PiebenchError(f"--claimed: no metric {name!r}; use {metrics} or a column of scores.csv")


@dataclass(frozen=True)
class Hypothesis:
    """A protocol that may have produced the claims.

    Attributes:
        deviations: how it deviates from the paper's; empty for the paper's own.
    """

    deviations: tuple[Deviation, ...]

    @cached_property
    def protocol(self) -> Protocol:
        """The paper's protocol with the deviations applied."""
        protocol = PAPER
        for deviation in self.deviations:
            protocol = protocol.with_changes(deviation.changes)
        return protocol

    @property
    def title(self) -> str:
        """The deviations in words."""
        return " + ".join(deviation.title for deviation in self.deviations) or "the published protocol"

    def required_scores(self, claims: Sequence[Claim]) -> list[ProtocolColumn]:
        """The columns, under this protocol, that predict the claims and say which pictures count."""
        columns = [claim.metric.column for claim in claims]
        if self.protocol.average.pictures == "with_background":
            columns.append(TELLS_BACKGROUND)
        return [(column, self.protocol) for column in columns]


@dataclass(frozen=True)
class Finding:
    """How well a hypothesis reproduces the claims.

    Attributes:
        hypothesis: the protocol.
        predicted: a number for each claim, in the table's unit.
        misfit: root mean square of the differences, each divided by its claim's rounding.
        reproduced: how many claims it meets within their rounding.
        description_length: in nats, of the deviations plus the missed claims.
    """

    hypothesis: Hypothesis
    predicted: tuple[float, ...]
    misfit: float
    reproduced: int
    description_length: float


def rank(
    hypotheses: Iterable[Hypothesis], claims: Sequence[Claim], protocol_scores: ProtocolScores, tried: int
) -> list[Finding]:
    r"""Rank hypotheses by how well they explain the claims.

    The shortest description wins (Rissanen, Modeling by Shortest Data Description, 1978). With $n$ deviations
    to choose from, a hypothesis of $k$ deviations that misses $m$ claims by distances $d_i > 1$, in units
    of the claims' rounding, has the description length $(k + m) \log n + \sum_i \log d_i$. A missed claim
    costs as much as a deviation, since something else must explain it.

    Args:
        hypotheses: the hypotheses.
        claims: the reported numbers.
        protocol_scores: the computed scores under every hypothesis.
        tried: how many deviations there are to choose from.

    Returns:
        The findings, the best first; hypotheses that predict nan or inf are left out.
    """
    findings = [_finding(hypothesis, claims, protocol_scores, tried) for hypothesis in hypotheses]
    finite = [finding for finding in findings if math.isfinite(finding.misfit)]
    return sorted(finite, key=lambda finding: (finding.description_length, finding.misfit))


def _finding(
    hypothesis: Hypothesis, claims: Sequence[Claim], protocol_scores: ProtocolScores, tried: int
) -> Finding:
    protocol = hypothesis.protocol
    types = protocol_scores.types_under(protocol) if protocol.average.over == "types" else None
    predicted = tuple(
        mean_of(protocol_scores.values(claim.metric.column, protocol), claim.metric, protocol.average, types)
        for claim in claims
    )
    distances = np.array(
        [abs(number - claim.value) / claim.rounding for number, claim in zip(predicted, claims, strict=True)]
    )
    missed = distances[~(distances <= 1)]
    parts = len(missed) + len(hypothesis.deviations)
    description_length = float(np.log(missed).sum()) + parts * math.log(tried)
    misfit = float(np.sqrt((distances**2).mean()))
    return Finding(hypothesis, predicted, misfit, len(claims) - len(missed), description_length)


def affects(deviation: Deviation, claims: Sequence[Claim]) -> bool:
    """Whether a deviation can change any of the claimed numbers."""
    columns = [claim.metric.column for claim in claims]
    sections = {section for column in columns for section in METRICS.get(column).sections}
    average = set(deviation.changes.get("average", {}))
    if average & {"inf", "psnr"}:
        return any(column.startswith("psnr") for column in columns)
    if "pictures" in average:
        return not set(columns) <= set(BACKGROUND_COLUMNS)
    return bool(average or sections & set(deviation.changes))


def singles(deviations: Iterable[Deviation]) -> list[Hypothesis]:
    """The published protocol, and each deviation alone."""
    return [Hypothesis(()), *(Hypothesis((deviation,)) for deviation in deviations)]


def pairs(deviations: Iterable[Deviation]) -> list[Hypothesis]:
    """Every pair of deviations that change different fields."""
    return [Hypothesis(pair) for pair in combinations(deviations, 2) if compatible(pair)]


def promising_pairs(
    deviations: Iterable[Deviation],
    alone: Sequence[Finding],
    claims: Sequence[Claim],
    protocol_scores: ProtocolScores,
) -> list[Hypothesis]:
    """Pairs whose scores are computed already, and pairs of the most promising deviations.

    Two deviations that affect different metrics need no other scores together than alone.

    Args:
        deviations: the deviations to choose from.
        alone: the findings of each alone, the best first.
        claims: the reported numbers.
        protocol_scores: the scores that were computed for them alone.
    """
    ranked = [finding.hypothesis.deviations[0] for finding in alone if finding.hypothesis.deviations]
    promising = {deviation.key for deviation in ranked[:PROMISING]}
    return [
        pair
        for pair in pairs(deviations)
        if all(deviation.key in promising for deviation in pair.deviations)
        or all(protocol_scores.is_computed(*required) for required in pair.required_scores(claims))
    ]


def indistinguishable(best: Finding, others: Iterable[Finding], claims: Sequence[Claim]) -> list[Finding]:
    """Other findings with as many deviations as the best and equal predictions within the rounding."""
    return [
        other
        for other in others
        if other is not best
        and len(other.hypothesis.deviations) == len(best.hypothesis.deviations)
        and all(
            abs(one - two) <= claim.rounding
            for one, two, claim in zip(best.predicted, other.predicted, claims, strict=True)
        )
    ]
