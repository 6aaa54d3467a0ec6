"""What a reader must know of the scores behind a table, whatever the table shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.data.remarks import counts_text
from piebench_eval.data.summary import full_mask_remark
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS
from piebench_eval.tables.about import lower_precision, protocol_differences, protocol_of
from piebench_eval.tables.editing_types import type_label

if TYPE_CHECKING:
    import pandas as pd

    from piebench_eval.metrics.protocol import AverageRules


def remarks_on(scores: pd.DataFrame, about: dict[str, Any], rules: AverageRules) -> list[str]:
    """Say how scores were made and what they rest on, as far as it is not what one expects.

    Args:
        scores: the rows behind the table, from ``read_scores``.
        about: what is known of them, from ``read_about``.
        rules: how they are averaged.
    """
    found = [
        _precision(about),
        _protocol(about),
        _types(rules),
        _loader(about),
        _count(about, "resized", "was resized before scoring", "were resized before scoring"),
        _unknown(scores, about),
        _sources(about),
        _count(about, "missing", "was missing and is in no mean", "were missing and are in no mean"),
        _full_masks(scores, about),
        _data(about),
    ]
    return [remark for remark in found if remark]


def _precision(about: dict[str, Any]) -> str | None:
    precision = lower_precision(about)
    return f"scored in {precision}: not for publication" if precision else None


def _protocol(about: dict[str, Any]) -> str | None:
    name, _ = protocol_of(about)
    if differences := protocol_differences(about):
        return f"scored by the protocol {name}, which differs from the paper's: {'; '.join(differences)}"
    return f"scored by the protocol {name}, whose rules are the paper's" if name != "paper" else None


def _types(rules: AverageRules) -> str | None:
    return (
        f"only these editing types count: {', '.join(map(type_label, rules.types))}" if rules.types else None
    )


def _loader(about: dict[str, Any]) -> str | None:
    loader = about.get("image_loader")
    return f"sources were brought to the sizes of their edits by image_loader={loader}" if loader else None


def _unknown(scores: pd.DataFrame, about: dict[str, Any]) -> str | None:
    unknown = about.get("unknown")
    return f"{unknown} of {len(scores)} rows do not say what made them" if unknown else None


def _sources(about: dict[str, Any]) -> str | None:
    number = about.get("other_sources")
    if not number:
        return None
    return (
        f"the sources of {number} ids do not look the same to CLIP in all of these scores "
        "(clip_similarity_source_image): make sure that they are of one benchmark"
    )


def _count(about: dict[str, Any], field: str, one: str, many: str) -> str | None:
    number = len(about.get(field, ()))
    if not number:
        return None
    return f"1 picture {one}" if number == 1 else f"{number} pictures {many}"


def _data(about: dict[str, Any]) -> str | None:
    text = counts_text(about.get("data_remarks", {}))
    return f"the benchmark's data is suspicious (piebench data validate lists it): {text}" if text else None


def _full_masks(scores: pd.DataFrame, about: dict[str, Any]) -> str | None:
    _, protocol = protocol_of(about)
    background = [column for column in BACKGROUND_COLUMNS if column in scores.columns]
    if not background or protocol.mask.background != "outside":
        return None
    full = scores.loc[scores[background].isna().all(axis=1), "id"]
    return full_mask_remark(full.nunique(), scores["id"].nunique())
