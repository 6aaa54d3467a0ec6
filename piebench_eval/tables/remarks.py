"""Remarks on the scores behind a table: how they were made, what they leave out, what they can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.data.remarks import counts_text
from piebench_eval.data.summary import full_mask_remark
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS
from piebench_eval.tables.comparability import comparability_remarks
from piebench_eval.tables.editors import editor_remarks
from piebench_eval.tables.layout import type_label
from piebench_eval.tables.provenance import (
    lower_precision,
    protocol_differences,
    protocol_of,
    quantized_weights,
    subset_text,
)
from piebench_eval.tables.resolutions import resolution_remarks

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric


_NOTES = (
    (
        {"structure_distance": "Struct."},
        "how far the layout has moved from the source's; best for edits that do nothing, and far from 0 for "
        "ideal edits, so by itself it ranks nothing",
    ),
    (
        {"psnr": "PSNR", "lpips": "LPIPS", "mse": "MSE", "ssim": "SSIM"},
        "how much of what lies outside the mask has stayed; blind to the edit, so source-copy is best",
    ),
    (
        {"clip_whole": "CLIP whole"},
        "tells an edit from no edit (see oracle and source-copy); it cannot rank good edits, of which some "
        "score above the ideal ones",
    ),
    (
        {"clip_edit": "CLIP edited"},
        "ranks nothing: the small CLIP has never seen a picture that is black outside the mask; the ideal "
        "edits score below most others, and 0.00 in whole types",
    ),
    (
        {"psnr_to_ideal": "PSNR to ideal", "lpips_to_ideal": "LPIPS to ideal"},
        "distance of the whole picture from the ideal edit: a wrong edit and a damaged background both "
        "count, and so does a right edit in another place; source-copy shows how far no edit is",
    ),
    (
        {"recognised": "Recognised"},
        "share of edits in which a check of pixels finds what it finds in the ideal edit: objects, "
        "colours, materials, background and style, but not places. An edit is right or wrong as a whole, so "
        "with ten of them the standard error is up to 17 points",
    ),
)


def score_remarks(scores: pd.DataFrame, provenance: dict[str, Any], rules: AverageRules) -> list[str]:
    """List what is unusual about how scores were made and what they cover.

    Args:
        scores: the rows behind the table, from ``read_scores``.
        provenance: from ``read_provenance``.
        rules: how scores are averaged.
    """
    found = [
        _subset(provenance),
        _precision(provenance),
        *_weights(provenance),
        _protocol(provenance),
        _types(rules),
        _loader(provenance),
        *editor_remarks(provenance),
        *resolution_remarks(provenance),
        *comparability_remarks(scores, provenance),
        _count(provenance, "resized", "was resized before scoring", "were resized before scoring"),
        _unknown(scores, provenance),
        _sources(provenance),
        _count(provenance, "missing", "was missing and is in no mean", "were missing and are in no mean"),
        _full_masks(scores, provenance),
        _data(provenance),
    ]
    return [remark for remark in found if remark]


def demo_remarks(metrics: Iterable[TableMetric]) -> list[str]:
    """What each column of the demo's table can tell and what it cannot, a line per group of columns.

    Args:
        metrics: those of the table.
    """
    shown = {metric.key for metric in metrics}
    lines = []
    for names, note in _NOTES:
        if named := [name for key, name in names.items() if key in shown]:
            lines.append(f"{', '.join(named)}: {note}")
    return lines


def _subset(provenance: dict[str, Any]) -> str | None:
    text = subset_text(provenance)
    return f"scores of a subset: {text}; for a quick look, without a verdict" if text else None


def _precision(provenance: dict[str, Any]) -> str | None:
    precision = lower_precision(provenance)
    return f"scored in {precision}: not for publication" if precision else None


def _weights(provenance: dict[str, Any]) -> list[str]:
    combinations: dict[str, list[str]] = {}
    for name, weights in quantized_weights(provenance).items():
        combinations.setdefault(weights, []).append(name)
    return [
        f"edited by weights={weights}, not the model's full ones ({', '.join(names)}): not for publication"
        for weights, names in combinations.items()
    ]


def _protocol(provenance: dict[str, Any]) -> str | None:
    name, _ = protocol_of(provenance)
    if differences := protocol_differences(provenance):
        return f"scored by the protocol {name}, which differs from the paper's: {'; '.join(differences)}"
    return f"scored by the protocol {name}, whose rules are the paper's" if name != "paper" else None


def _types(rules: AverageRules) -> str | None:
    return (
        f"only these editing types count: {', '.join(map(type_label, rules.types))}" if rules.types else None
    )


def _loader(provenance: dict[str, Any]) -> str | None:
    loader = provenance.get("image_loader")
    return f"sources were brought to the sizes of their edits by image_loader={loader}" if loader else None


def _unknown(scores: pd.DataFrame, provenance: dict[str, Any]) -> str | None:
    unknown = provenance.get("unknown")
    return f"{unknown} of {len(scores)} rows do not say what made them" if unknown else None


def _sources(provenance: dict[str, Any]) -> str | None:
    number = provenance.get("other_sources")
    if not number:
        return None
    return (
        f"the sources of {number} ids do not look the same to CLIP in all of these scores "
        "(clip_similarity_source_image): make sure that they are of one benchmark"
    )


def _count(provenance: dict[str, Any], field: str, one: str, many: str) -> str | None:
    number = len(provenance.get(field, ()))
    if not number:
        return None
    return f"1 picture {one}" if number == 1 else f"{number} pictures {many}"


def _data(provenance: dict[str, Any]) -> str | None:
    text = counts_text(provenance.get("data_remarks", {}))
    return f"the benchmark's data is suspicious (piebench data validate lists it): {text}" if text else None


def _full_masks(scores: pd.DataFrame, provenance: dict[str, Any]) -> str | None:
    _, protocol = protocol_of(provenance)
    background = [column for column in BACKGROUND_COLUMNS if column in scores.columns]
    if not background or protocol.mask.background != "outside":
        return None
    full = scores.loc[scores[background].isna().all(axis=1), "id"]
    return full_mask_remark(full.nunique(), scores["id"].nunique())
