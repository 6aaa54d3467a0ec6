"""Measured numbers beside the published ones, with a verdict only where it means something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from piebench_eval.demo.embedded import DEMO
from piebench_eval.metrics.networks import MetricModels
from piebench_eval.recipes import recipe_file
from piebench_eval.runs.recipe import Recipe, build_recipe, read_recipe_fields
from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS
from piebench_eval.tables.published import load_published

PAPER_IMAGES = 700
_Z95 = 1.96


@dataclass(frozen=True)
class Comparison:
    """Measured against published.

    Attributes:
        table: a row per combination and metric: measured, paper, report, difference (measured - paper)
            and verdict (empty where none is due).
        obstacles: which combinations cannot be held against the paper's, and why.
        remarks: what else a reader should know.
    """

    table: pd.DataFrame
    obstacles: list[str]
    remarks: list[str]


def compare_with_paper(means: pd.DataFrame, about: dict[str, Any]) -> Comparison:
    """Set aggregated scores beside Table 1.

    A verdict says whether the published mean lies inside the measured mean's own 95% interval.

    Args:
        means: from ``aggregate``.
        about: what is known of the scores, from ``read_about``.
    """
    published = {
        (row["inversion"], row["method"], row["metric"]): (row["paper"], row["report"], row["erratum"])
        for row in load_published().to_dict(orient="records")
    }
    labels = label_columns(means)
    shown_labels = ["model", *labels] if "model" in means.columns else labels
    rows, remarks = [], []
    obstacles: dict[str, list[str]] = {}
    mean: dict[Any, Any]
    for mean in means.to_dict(orient="records"):
        inversion, method = str(mean.get("inversion", "")), str(mean.get("method", ""))
        name = combination_name(mean, labels)
        reasons = comparison_obstacles(inversion, method, int(mean["images"]), about)
        if (inversion, method, METRICS[0].key) not in published:
            reasons = ["Table 1 has no such combination"]
        if reasons:
            obstacles.setdefault("; ".join(reasons), []).append(name)
        for metric in METRICS:
            row: dict[str, Any] = {label: mean[label] for label in shown_labels}
            row |= {"metric": metric.key, "measured": mean[metric.key]}
            key = (inversion, method, metric.key)
            paper, report, erratum = published.get(key, (np.nan, np.nan, ""))
            row |= {"paper": paper, "report": report, "difference": mean[metric.key] - paper}
            verdict = _verdict(mean[metric.key], mean[f"{metric.key}_sem"], paper)
            rows.append({**row, "verdict": "" if reasons else verdict})
            if erratum:
                remarks.append(f"{name}: {metric.key}: paper's value corrected, {erratum}")
    no_verdict = [f"{', '.join(names)}: no verdict, since {why}" for why, names in obstacles.items()]
    return Comparison(pd.DataFrame(rows), no_verdict, remarks)


def comparison_obstacles(inversion: str, method: str, images: int, about: dict[str, Any]) -> list[str]:
    """Why a combination's numbers cannot be held against the paper's; empty if they can.

    The paper's settings are those of the recipe ``paper``, which comes with the package.

    Args:
        inversion: name of the inversion.
        method: name of the method.
        images: how many pictures were scored.
        about: from ``read_about``.
    """
    recipe = _paper_recipe()
    if (inversion, method) not in recipe.pairs:
        return ["the paper has no such combination"]
    reasons = []
    if images != PAPER_IMAGES:
        reasons.append(f"{images} images were scored, the paper has {PAPER_IMAGES}")
    networks = about.get("networks", {})
    for role, paper_network in MetricModels().to_dict().items():
        if networks.get(role) != paper_network:
            reasons.append(f"{role} is {networks.get(role, 'unknown')}, the paper's is {paper_network}")
    combination = recipe.combination(inversion, method)
    wanted = {**combination.flat(), "image_format": recipe.image_format}
    given = about.get("combinations", {}).get(combination.name, {})
    given = {**given, "image_format": about.get("image_format", "unknown")}
    return reasons + [
        f"{field} is {given.get(field, 'unknown')}, the paper's is {value}"
        for field, value in wanted.items()
        if not _is_same(field, given.get(field, "unknown"), value)
    ]


def _is_same(field: str, given: Any, paper: Any) -> bool:
    if field == "revision":
        return True  # the model's files count, and they are named by the model
    if field == "model":
        return Path(str(given)).name == Path(str(paper)).name  # a local copy is as good
    if field == "resolution":
        return given in (paper, None)  # None is the model's own, which is the paper's
    return bool(given == paper)


@cache
def _paper_recipe() -> Recipe:
    file = recipe_file("paper")
    return build_recipe(read_recipe_fields(file), {}, str(file))


def read_about(provenance_file: Path) -> dict[str, Any]:
    """What is known of a scores file; empty if nothing was written beside it."""
    try:
        about = json.loads(provenance_file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return about if isinstance(about, dict) else {}


def is_of_demo(about: dict[str, Any]) -> bool:
    """Whether scores come from the embedded models: edited by them or scored with them."""
    models = [combination.get("model") for combination in about.get("combinations", {}).values()]
    return DEMO in (about.get("model"), *models, *about.get("networks", {}).values())


def _verdict(measured: float, sem: float, paper: float) -> str:
    if np.isnan(paper) or np.isnan(measured) or np.isnan(sem):
        return ""
    return "agrees" if abs(measured - paper) <= _Z95 * sem else "differs"
