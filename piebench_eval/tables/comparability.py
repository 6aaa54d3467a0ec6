"""Whether rows can be compared: what each rests on, as columns for programs, and remarks for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.combination_names import REFERENCES
from piebench_eval.editors.described import MASKS, PROMPTED_BY
from piebench_eval.errors import first_few
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS
from piebench_eval.scoring.row_facts import (
    BASE_MODEL,
    EDITED_AT,
    EVALUATIONS,
    NOT_DECLARED,
    SCORED_AT,
    STEPS,
    facts_of_run,
)
from piebench_eval.tables.layout import type_label
from piebench_eval.tables.provenance import protocol_of
from piebench_eval.tables.scores import combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGES, BACKGROUND_IMAGES, PROTOCOL = "images", "background_images", "protocol"

_WORDS = {
    IMAGES: "images",
    BACKGROUND_IMAGES: "images with a background",
    MASKS: "masks used",
    PROMPTED_BY: "prompted by",
    BASE_MODEL: "model",
    STEPS: "steps",
    EDITED_AT: "edited at (px)",
    SCORED_AT: "scored at (px)",
}
"""What rows should have in common, in words. Model evaluations differ by nature, and protocols cannot."""

_NAMES = 3
"""How many rows of a kind a remark names."""


def with_comparability(table: pd.DataFrame, scores: pd.DataFrame, provenance: dict[str, Any]) -> pd.DataFrame:
    """Add what each row rests on, as last columns; empty where it is unknown, and for what is no edit.

    A table of scores that say nothing of what made them is returned as it is.

    Args:
        table: a row per combination, or several.
        scores: the rows behind it, from ``read_scores``.
        provenance: from ``read_provenance``.
    """
    of_rows, counts = facts_of_rows(scores, provenance), _counts(scores)
    if not of_rows:
        return table
    protocol, _ = protocol_of(provenance)
    names = _names(table)
    types = table["type"] if "type" in table.columns else [""] * len(table)
    keys = list(zip(names, types, strict=True))
    columns: dict[str, list[Any]] = {
        field: [counts.get(key, {}).get(field) for key in keys] for field in (IMAGES, BACKGROUND_IMAGES)
    }
    if IMAGES in table.columns:
        del columns[IMAGES]
    for field in (MASKS, PROMPTED_BY, BASE_MODEL):
        columns[field] = [of_rows.get(name, {}).get(field) or "" for name in names]
    for field in (STEPS, EVALUATIONS, EDITED_AT, SCORED_AT):
        columns[field] = [of_rows.get(name, {}).get(field) for name in names]
    columns[PROTOCOL] = [protocol if name in of_rows else "" for name in names]
    # As objects: beside an empty cell, pandas would make 512 a number with a fraction.
    return table.assign(
        **{name: pd.Series(cells, index=table.index, dtype=object) for name, cells in columns.items()}
    )


def comparability_remarks(scores: pd.DataFrame, provenance: dict[str, Any]) -> list[str]:
    """What all rows of edits have in common, and in what they differ, so that they are no fair comparison.

    Nothing is said of scores of an earlier version.

    Args:
        scores: from ``read_scores``.
        provenance: from ``read_provenance``.
    """
    if not provenance.get("rows"):
        return []
    counts = _counts(scores)
    of_rows = {
        name: {**counts[name, ""], **facts}
        for name, facts in facts_of_rows(scores, provenance).items()
        if facts
    }
    shared, differing = [], []
    for field, words in _WORDS.items():
        names_of: dict[Any, list[str]] = {}
        for name, facts in of_rows.items():
            if facts.get(field) is not None:
                names_of.setdefault(facts[field], []).append(name)
        if len(names_of) > 1:
            kinds = (f"{value} ({first_few(names, _NAMES)})" for value, names in names_of.items())
            differing.append(f"{words}: {', '.join(kinds)}")
        elif field not in (IMAGES, BACKGROUND_IMAGES):
            shared += [f"{words}: {value}" for value in names_of]
    lines = []
    if differing:
        lines.append(f"rows differ in what they rest on, so compare them with care: {'; '.join(differing)}")
    if shared:
        lines.append(f"every row: {'; '.join(shared)}" if len(of_rows) > 1 else "; ".join(shared))
    return lines


def facts_of_rows(scores: pd.DataFrame, provenance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is known of each row of edits, by its name; nothing of reference rows; empty if nothing is known.

    Scores of an earlier version say it of a run's combinations, in part.

    Args:
        scores: from ``read_scores``.
        provenance: from ``read_provenance``.
    """
    combinations = {
        name: each for name, each in provenance.get("combinations", {}).items() if isinstance(each, dict)
    }
    known = {**facts_of_run(combinations, ()), **provenance.get("rows", {})}
    if not known:
        return {}
    labels = label_columns(scores)
    found: dict[str, dict[str, Any]] = {}
    for row in scores[labels].drop_duplicates().to_dict(orient="records"):
        name = combination_name(row, labels)
        is_reference = not row.get("inversion", "") and row.get("method") in REFERENCES
        unknown = {} if is_reference else {MASKS: NOT_DECLARED, PROMPTED_BY: NOT_DECLARED}
        found[name] = known.get(name, unknown)
    return found


def _names(table: pd.DataFrame) -> list[str]:
    """The name of each row."""
    labels = label_columns(table)
    return [
        row["combination"] if "combination" in table.columns else combination_name(row, labels)
        for row in table.to_dict(orient="records")
    ]


def _counts(scores: pd.DataFrame) -> dict[tuple[str, str], Mapping[str, int | None]]:
    """Images, and how many of them have a background score, by name and editing type ("" for all types).

    The second is None where no background metric was scored.
    """
    labels = label_columns(scores)
    background = [column for column in BACKGROUND_COLUMNS if column in scores.columns]
    found: dict[tuple[str, str], Mapping[str, int | None]] = {}
    for keys in (labels, [*labels, "type"] if "type" in scores.columns else []):
        for values, rows in scores.groupby(keys, sort=False) if keys else ():
            row = dict(zip(keys, values, strict=True))
            with_background = int(rows[background].notna().any(axis=1).sum())
            found[combination_name(row, labels), type_label(str(row["type"])) if "type" in row else ""] = {
                IMAGES: len(rows),
                BACKGROUND_IMAGES: with_background if background else None,
            }
    return found
