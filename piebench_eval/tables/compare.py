"""Measured numbers beside the published ones, with a verdict only where it means something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from piebench_eval.demo.embedded import DEMO
from piebench_eval.metrics.networks import MetricModels
from piebench_eval.tables.aggregate import combination_name, label_columns
from piebench_eval.tables.layout import METRICS
from piebench_eval.tables.published import load_published

PAPER_IMAGES = 700
PAPER_MODELS = {
    "p2p": "CompVis/stable-diffusion-v1-4",
    "masactrl": "CompVis/stable-diffusion-v1-4",
    "pnp": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""The paper's model for each method; a local directory of the same last name counts as the same."""

PAPER_STEPS, PAPER_GUIDANCE = 50, 7.5
PAPER_FIELDS: dict[str, tuple[Any, ...]] = {
    "precision": ("fp32",),
    "resolution": (512, None),
    "image_format": ("jpeg:75",),
}
"""What the paper's pictures were made with; no resolution means the model's own. JPEG moves background
scores by up to several dB either way, so PNGs cannot be held against the published numbers."""
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

    Args:
        inversion: name of the inversion.
        method: name of the method.
        images: how many pictures were scored.
        about: from ``read_about``.
    """
    reasons = []
    model, wanted = about.get("model"), PAPER_MODELS.get(method)
    if wanted and (model is None or Path(model).name != Path(wanted).name):
        reasons.append(f"the model is {model or 'unknown'}, the paper's is {wanted}")
    if images != PAPER_IMAGES:
        reasons.append(f"{images} images were scored, the paper has {PAPER_IMAGES}")
    networks = about.get("networks", {})
    for role, paper_network in MetricModels().to_dict().items():
        if networks.get(role) != paper_network:
            reasons.append(f"{role} is {networks.get(role, 'unknown')}, the paper's is {paper_network}")
    if about.get("steps") != PAPER_STEPS or about.get("guidance") != PAPER_GUIDANCE:
        setting = f"{about.get('steps', 'unknown')} steps at guidance {about.get('guidance', 'unknown')}"
        reasons.append(f"it has {setting}, the paper {PAPER_STEPS} at {PAPER_GUIDANCE}")
    for field, paper_values in PAPER_FIELDS.items():
        if about.get(field) not in paper_values:
            reasons.append(f"{field} is {about.get(field, 'unknown')}, the paper's is {paper_values[0]}")
    changed = about.get("changed_settings", {})
    for section in (f"inversion.{inversion}", f"method.{method}"):
        reasons += [f"{section}.{setting} is not the default" for setting in changed.get(section, [])]
    return reasons


def read_about(provenance_file: Path) -> dict[str, Any]:
    """What is known of a scores file; empty if nothing was written beside it."""
    try:
        about = json.loads(provenance_file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return about if isinstance(about, dict) else {}


def is_of_demo(about: dict[str, Any]) -> bool:
    """Whether scores come from the embedded models: edited by them or scored with them."""
    return DEMO in (about.get("model"), *about.get("networks", {}).values())


def _verdict(measured: float, sem: float, paper: float) -> str:
    if np.isnan(paper) or np.isnan(measured) or np.isnan(sem):
        return ""
    return "agrees" if abs(measured - paper) <= _Z95 * sem else "differs"
