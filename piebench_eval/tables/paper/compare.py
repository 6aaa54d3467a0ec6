"""Compare measured means with the published ones, with a verdict where they are comparable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.methods.masactrl import START_LAYERS
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import MetricModels
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.recipes.builtin import recipe_file
from piebench_eval.recipes.combination import LATER_SETTINGS, with_former_defaults
from piebench_eval.recipes.recipe import Recipe, build_recipe, read_recipe_fields
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.published import load_published
from piebench_eval.tables.paper.tolerances import agrees, reproduction_tolerance
from piebench_eval.tables.provenance import is_demo, lower_precision, protocol_differences, protocol_of
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            are nan and inside_interval is missing.
        obstacles: combinations without a verdict, and why.
        remarks: other remarks, such as errata.
    """

    table: pd.DataFrame
    obstacles: list[str]
    remarks: list[str]


def compare_with_paper(
    means: pd.DataFrame, provenance: dict[str, Any], rules: AverageRules = PAPER.average
) -> PaperComparison:
    """Compare means with Table 1, for those of its metrics that were scored.

    A verdict says whether the difference is within that of a published reproduction. The measured interval is
    for information: it says how the mean would vary over other images, but the paper's images are the same,
    and a broken method can stay inside it.

    Args:
        means: from ``aggregate``.
        provenance: from ``read_provenance``.
        rules: how scores were averaged.

    Raises:
        PiebenchError: they hold no metric of Table 1.
    """
    published = {
        (row["inversion"], row["method"], row["metric"]): (row["paper"], row["report"], row["erratum"])
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
    mean: dict[Any, Any]
    for mean in means.to_dict(orient="records"):
        inversion, method = str(mean.get("inversion", "")), str(mean.get("method", ""))
        name = combination_name(mean, labels)
        reasons = comparison_obstacles(
            inversion, method, int(mean["images"]), provenance, metrics, rules, name
        )
        if (inversion, method, TABLE_METRICS[0].key) not in published:
            reasons = ["Table 1 has no such combination"]
        if reasons:
            obstacles.setdefault("; ".join(reasons), []).append(name)
        for metric in metrics:
            key = (inversion, method, metric.key)
            paper, report, erratum = published.get(key, (np.nan, np.nan, ""))
            # The published number is always shown, but only compared if the metric is the same.
            published_mean = paper if _is_comparable(metric, provenance) else np.nan
            inside = _is_inside(mean[f"{metric.key}_low"], mean[f"{metric.key}_high"], published_mean)
            row: dict[str, Any] = {label: mean[label] for label in labels}
            row |= {"metric": metric.key, "measured": mean[metric.key], "paper": paper, "report": report}
            difference = mean[metric.key] - published_mean
            tolerance = np.nan if np.isnan(published_mean) else reproduction_tolerance(metric.key, inversion)
            row |= {"difference": difference, "tolerance": tolerance, "inside_interval": inside}
            rows.append({**row, "verdict": "" if reasons else _verdict(difference, tolerance)})
            if erratum:
                remarks.append(f"{name}: {metric.key}: paper's value corrected, {erratum}")
    no_verdict = [f"{', '.join(names)}: no verdict, since {why}" for why, names in obstacles.items()]
    table = pd.DataFrame(rows).astype({"inside_interval": "boolean"})
    return PaperComparison(table, no_verdict, remarks)


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
    recipe = _paper_recipe()
    if (inversion, method) not in recipe.pairs:
        return ["the paper has no such combination"]
    reasons = []
    if images != PAPER_IMAGES:
        reasons.append(f"{images} images were scored, the paper has {PAPER_IMAGES}")
    if rules.types is not None:
        reasons.append(f"only editing types {', '.join(rules.types)} count")
    reasons += _scoring_obstacles(provenance, metrics)
    combination = recipe.combination(inversion, method)
    wanted = {**with_former_defaults(combination.flat()), "image_format": recipe.image_format}
    given = provenance.get("combinations", {}).get(name or combination.name, {})
    given = {**LATER_SETTINGS, "image_format": provenance.get("image_format", "unknown"), **given}
    given = with_former_defaults(given)
    if given.get("method.start_layer", "unknown") is None:
        given["method.start_layer"] = START_LAYERS["sd1"]  # the paper's models are of that family
    return reasons + [
        f"{field} is {given.get(field, 'unknown')}, the paper's is {value}"
        for field, value in wanted.items()
        if not _is_same(field, given.get(field, "unknown"), value)
    ]


def _is_comparable(metric: TableMetric, provenance: dict[str, Any]) -> bool:
    """Whether a metric was computed by the paper's network, and not of the demo."""
    networks, wanted = provenance.get("networks", {}), METRICS.get(metric.column).networks
    papers = MetricModels().to_dict(wanted)
    return not is_demo(provenance) and all(
        networks.get(role, paper) == paper for role, paper in papers.items()
    )


def _scoring_obstacles(provenance: dict[str, Any], metrics: Sequence[TableMetric]) -> list[str]:
    """Differences from the paper in how images were scored."""
    networks = provenance.get("networks", {})
    roles = {role for metric in metrics for role in METRICS.get(metric.column).networks}
    reasons = [
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


@cache
def _paper_recipe() -> Recipe:
    file = recipe_file("paper")
    return build_recipe(read_recipe_fields(file), {}, str(file))


def _verdict(difference: float, tolerance: float) -> str:
    """The verdict; empty if the difference is nan."""
    if np.isnan(difference):
        return ""
    return AGREES if agrees(difference, tolerance) else DIFFERS


def _is_inside(low: float, high: float, paper: float) -> bool | None:
    """Whether the interval contains the paper's number; None if either is missing."""
    return None if np.isnan([low, high, paper]).any() else bool(low <= paper <= high)
