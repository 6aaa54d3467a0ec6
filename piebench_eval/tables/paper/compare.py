"""Compare measured means with the published ones, with a verdict where they are comparable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.methods.masactrl import START_LAYERS
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.recipes.combination import LATER_SETTINGS, with_former_defaults
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.further import (
    FittingRows,
    distance_from,
    fitting_rows,
    further_remarks,
    shipped_recipe,
)
from piebench_eval.tables.paper.published import load_published
from piebench_eval.tables.paper.tolerances import agrees, reproduction_tolerance
from piebench_eval.tables.provenance import (
    is_demo,
    lower_precision,
    protocol_differences,
    protocol_of,
    subset_text,
)
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric

PAPER_IMAGES = 700

AGREES, DIFFERS = "agrees", "differs"


@dataclass(frozen=True)
class PaperComparison:
    """Measured means beside the published ones.

    Attributes:
        table: a row per combination and metric: measured, paper, report, difference (measured - paper),
            tolerance (how far a reproduction may be from the paper),
            inside_interval (whether the paper's number lies inside the measured mean's 95% interval; missing
            without an interval) and verdict (empty if none). If the paper has no number, the demo's models
            made the scores, or another network than the paper's computed the metric, difference and tolerance
            are nan and inside_interval is missing. Where published rows beyond Table 1 fit a combination,
            ``paper`` is its own authors', and the columns of ``FURTHER_COLUMNS`` come before the verdict.
        obstacles: combinations without a verdict, and why.
        remarks: other remarks, such as errata, and the published rows beyond Table 1.
        further: the rows beyond Table 1 that fit, by the combinations' names.
    """

    table: pd.DataFrame
    obstacles: list[str]
    remarks: list[str]
    further: Mapping[str, FittingRows]


FURTHER_COLUMNS = ("reruns", "reruns_low", "reruns_high", "from_reruns")
"""How many others ran the method again, the lowest and the highest of their means, and how far the measured
one is outside of these: 0 between them, negative below."""


def compare_with_paper(
    means: pd.DataFrame, provenance: dict[str, Any], rules: AverageRules = PAPER.average
) -> PaperComparison:
    """Compare means with Table 1, for those of its metrics that were scored, and with rows beyond it.

    A verdict says whether the difference is within that of a published reproduction. The measured interval is
    for information: it says how the mean would vary over other images, but the paper's images are the same,
    and a broken method can stay inside it. A combination that Table 1 lacks gets no verdict.

    Args:
        means: from ``aggregate``.
        provenance: from ``read_provenance``.
        rules: how scores were averaged.

    Raises:
        PiebenchError: they hold no metric of Table 1.
    """
    published = {
        (row["inversion"], row["method"], row["metric"]): row
        for row in load_published().to_dict(orient="records")
    }
    labels = label_columns(means)
    metrics = [metric for metric in TABLE_METRICS if metric.key in means.columns]
    if not metrics:
        raise PiebenchError(
            "--compare-paper: the scores hold no metric of Table 1; "
            "score the pictures with piebench score --metrics official"
        )
    rows, remarks = [], []
    obstacles: dict[str, list[str]] = {}
    further: dict[str, FittingRows] = {}
    mean: dict[Any, Any]
    for mean in means.to_dict(orient="records"):
        inversion, method = str(mean.get("inversion", "")), str(mean.get("method", ""))
        name, images = combination_name(mean, labels), int(mean["images"])
        reasons = comparison_obstacles(inversion, method, images, provenance, metrics, rules, name)
        found = FittingRows()
        if (inversion, method, TABLE_METRICS[0].key) not in published:
            given = _settings_of(name, provenance)
            if inversion and not is_demo(provenance):
                found = fitting_rows(inversion, method, given)
            reasons = ["Table 1 has no such combination", *filter(None, [found.obstacle])]
            conditions = scoring_conditions(images, provenance, metrics, rules)
            remarks += [f"{name}: {line}" for line in further_remarks(found, given, conditions)]
            further |= {name: found} if found.rows else {}
        if reasons:
            obstacles.setdefault("; ".join(reasons), []).append(name)
        for metric in metrics:
            about = published.get((inversion, method, metric.key), {})
            row = _compared(mean, metric, inversion, about, found, _is_comparable(metric, provenance))
            verdict = "" if reasons else _verdict(row["difference"], row["tolerance"])
            rows.append({**{label: mean[label] for label in labels}, **row, "verdict": verdict})
            if about.get("erratum"):
                remarks.append(f"{name}: {metric.key}: paper's value corrected, {about['erratum']}")
    no_verdict = [f"{', '.join(names)}: no verdict, since {why}" for why, names in obstacles.items()]
    table = pd.DataFrame(rows).astype({"inside_interval": "boolean", "reruns": "Int64"})
    unused = () if further else FURTHER_COLUMNS
    return PaperComparison(table.drop(columns=list(unused)), no_verdict, remarks, further)


def _compared(
    mean: dict[Any, Any],
    metric: TableMetric,
    inversion: str,
    table_1: dict[Any, Any],
    found: FittingRows,
    comparable: bool,
) -> dict[str, Any]:
    """A combination's mean of one metric beside the published ones.

    Args:
        mean: a row of ``aggregate``.
        metric: one of Table 1's.
        inversion: name of the inversion.
        table_1: the row of ``load_published``; empty if it has none.
        found: the rows beyond Table 1.
        comparable: whether the same network computed the metric; published numbers are shown in any case.
    """
    measured = mean[metric.key]
    paper = table_1.get("paper", found.own(metric.key))
    own = paper if comparable else np.nan
    is_due = bool(table_1) and not np.isnan(own)
    others = found.others(metric.key)
    return {
        "metric": metric.key,
        "measured": measured,
        "paper": paper,
        "report": table_1.get("report", np.nan),
        "difference": measured - own,
        "tolerance": reproduction_tolerance(metric.key, inversion) if is_due else np.nan,
        "inside_interval": _is_inside(mean[f"{metric.key}_low"], mean[f"{metric.key}_high"], own),
        "reruns": len(others) if found.rows else None,
        "reruns_low": min(others, default=np.nan),
        "reruns_high": max(others, default=np.nan),
        "from_reruns": distance_from(measured, others) if comparable else np.nan,
    }


def comparison_obstacles(
    inversion: str,
    method: str,
    images: int,
    provenance: dict[str, Any],
    metrics: Sequence[TableMetric] = TABLE_METRICS,
    rules: AverageRules = PAPER.average,
    name: str | None = None,
) -> list[str]:
    """Why a combination's means are not comparable to the paper's; empty if they are.

    The paper's settings are those of the shipped recipe ``paper``.

    Args:
        inversion: name of the inversion.
        method: name of the method.
        images: number of scored images.
        provenance: from ``read_provenance``.
        metrics: those of Table 1's metrics that were scored.
        rules: how the scores were averaged.
        name: the combination's name in ``provenance``, if not ``inversion+method``.
    """
    recipe = shipped_recipe("paper")
    if (inversion, method) not in recipe.pairs:
        return ["the paper has no such combination"]
    reasons = scoring_conditions(images, provenance, metrics, rules)
    combination = recipe.combination(inversion, method)
    wanted = {**with_former_defaults(combination.flat()), "image_format": recipe.image_format}
    given = with_former_defaults(_settings_of(name or combination.name, provenance))
    if given.get("method.start_layer", "unknown") is None:
        given["method.start_layer"] = START_LAYERS["sd1"]  # the paper's models are of that family
    return reasons + [
        f"{field} is {given.get(field, 'unknown')}, the paper's is {value}"
        for field, value in wanted.items()
        if not _is_same(field, given.get(field, "unknown"), value)
    ]


def _settings_of(name: str, provenance: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of a combination's settings, and the format of its images."""
    given = provenance.get("combinations", {}).get(name, {})
    return {**LATER_SETTINGS, "image_format": provenance.get("image_format", "unknown"), **given}


def _is_comparable(metric: TableMetric, provenance: dict[str, Any]) -> bool:
    """Whether a metric was computed by the paper's network, and not of the demo."""
    networks, wanted = provenance.get("networks", {}), METRICS.get(metric.column).networks
    papers = MetricModels().to_dict(wanted)
    return not is_demo(provenance) and all(
        networks.get(role, paper) == paper for role, paper in papers.items()
    )


def scoring_conditions(
    images: int, provenance: dict[str, Any], metrics: Sequence[TableMetric], rules: AverageRules
) -> list[str]:
    """Differences from the paper in which images were scored, and how."""
    reasons = []
    subset = subset_text(provenance)
    if subset and images <= provenance["subset"].get("samples", 0):  # a whole run may stand beside it
        reasons.append(f"a subset was scored ({subset})")
    elif images != PAPER_IMAGES:
        reasons.append(f"{images} images were scored, the paper has {PAPER_IMAGES}")
    if rules.types is not None:
        reasons.append(f"only editing types {', '.join(rules.types)} count")
    networks = provenance.get("networks", {})
    roles = {role for metric in metrics for role in METRICS.get(metric.column).networks}
    reasons += [
        f"{role} is {networks.get(role, 'unknown')}, the paper's is {paper_network}"
        for role, paper_network in MetricModels().to_dict(roles).items()
        if networks.get(role) != paper_network
    ]
    if differences := protocol_differences(provenance):
        name, _ = protocol_of(provenance)
        reasons.append(f"the protocol is {name}, not the paper's ({'; '.join(differences)})")
    if precision := lower_precision(provenance):
        reasons.append(f"the pictures were scored in {precision}")
    if resized := len(provenance.get("resized", ())):
        reasons.append(f"{resized} of the pictures were resized before scoring")
    return reasons


def _is_same(field: str, given: Any, paper: Any) -> bool:
    if field == "revision":
        return True  # the revision of the same model
    if field == "model":
        return Path(str(given)).name == Path(str(paper)).name  # a local copy is equivalent
    if field == "resolution":
        return given in (paper, None)  # None is the model's default, which is the paper's
    return bool(given == paper)


def _verdict(difference: float, tolerance: float) -> str:
    """The verdict; empty if the difference is nan."""
    if np.isnan(difference):
        return ""
    return AGREES if agrees(difference, tolerance) else DIFFERS


def _is_inside(low: float, high: float, paper: float) -> bool | None:
    """Whether the interval contains the paper's number; None if either is missing."""
    return None if np.isnan([low, high, paper]).any() else bool(low <= paper <= high)
