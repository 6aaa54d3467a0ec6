"""One's own scored rows, and which published means lie inside their intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.editors.described import MASKS, PROMPTED_BY
from piebench_eval.leaderboard.entries import Entry
from piebench_eval.published.models import HUB_IDS, model_name
from piebench_eval.published.row import METRIC_KEYS
from piebench_eval.published.rows import published_rows
from piebench_eval.scoring.row_facts import BASE_MODEL, STEPS
from piebench_eval.tables.comparability import facts_of_rows
from piebench_eval.tables.layout import TABLE_METRICS
from piebench_eval.tables.paper.compare import scoring_conditions
from piebench_eval.tables.paper.further import setting_differences
from piebench_eval.tables.provenance import is_demo
from piebench_eval.tables.scores import RUN, combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.tables.score_table import ScoreTable


def measured_entries(score_table: ScoreTable) -> list[Entry]:
    """A row per combination and folder of the scores, with 95% intervals."""
    means = score_table.means
    labels = label_columns(means)
    facts = facts_of_rows(score_table.rows, score_table.provenance)
    named = ((combination_name(row, labels), row) for row in means.to_dict(orient="records"))
    return [_entry(row, name, facts.get(name, {}), score_table) for name, row in named]


def _entry(row: Mapping[Any, Any], name: str, facts: Mapping[str, Any], score_table: ScoreTable) -> Entry:
    """A row of means.

    Args:
        row: from ``aggregate``.
        name: its name.
        facts: what is known of its edits, from ``facts_of_rows``.
        score_table: the scores.
    """
    model = str(facts.get(BASE_MODEL) or "")
    families = {published.model: published.family for published in published_rows()}
    keys = [key for key in METRIC_KEYS if key in row and not np.isnan(row[key])]
    return Entry(
        method=name,
        model="the demo's" if score_table.is_demo else model_name(model),
        family=families.get(model_name(model), "other"),
        numbers={key: float(row[key]) for key in keys},
        source=str(row.get(RUN, "")),
        steps=facts.get(STEPS),
        images=int(row["images"]),
        masks=facts.get(MASKS) or "",
        prompted_by=facts.get(PROMPTED_BY) or "",
        intervals={
            key: (float(row[f"{key}_low"]), float(row[f"{key}_high"]))
            for key in keys
            if np.isfinite([row[f"{key}_low"], row[f"{key}_high"]]).all()
        },
    )


def held_against(
    published: Sequence[Entry], measured: Sequence[Entry], score_table: ScoreTable
) -> tuple[list[Entry], list[tuple[Entry, Entry | None]], list[str]]:
    """Mark the published means that lie inside the intervals of measured ones.

    Rows of the same combination, model and printed settings are held against each other, where the scores
    were made under the published conditions.

    Args:
        published: the published rows.
        measured: from ``measured_entries``.
        score_table: the scores that they are of.

    Returns:
        The published rows with marks; each measured row with a published one of its combination and model,
        or None; and why some are held against nobody.
    """
    metrics = [metric for metric in TABLE_METRICS if metric.key in score_table.means.columns]
    inside: dict[int, dict[str, list[str]]] = {}
    pairs: list[tuple[Entry, Entry | None]] = []
    remarks = []
    for own in measured:
        given = score_table.provenance.get("combinations", {}).get(own.method, {})
        name = own.method.split("/")[-1]
        alike = [] if is_demo(score_table.provenance) else _alike(published, name, given)
        pairs.append((own, published[alike[0]] if alike else None))
        why = scoring_conditions(own.images or 0, score_table.provenance, metrics, score_table.rules)
        if alike and why:
            remarks.append(f"{own.method}: no published mean is marked, since {'; '.join(why)}")
            continue
        for index in alike:
            for key in _inside(published[index], own):
                inside.setdefault(index, {}).setdefault(key, []).append(own.method)
    marked = [replace(entry, inside=inside.get(index, {})) for index, entry in enumerate(published)]
    return marked, pairs, remarks


def _alike(published: Sequence[Entry], name: str, given: Mapping[str, Any]) -> list[int]:
    """Places of the rows of a combination on its model, whose printed settings are its own."""
    model = model_name(str(given.get("model", "")))
    return [
        index
        for index, entry in enumerate(published)
        if (row := entry.published) is not None
        and row.combination == name
        and HUB_IDS[row.model] == HUB_IDS.get(model)
        and not setting_differences(given, row.settings)
    ]


def _inside(published: Entry, own: Entry) -> list[str]:
    """The metrics whose printed mean lies inside a measured interval."""
    if published.published is None or published.published.uncounted:
        return []
    return [
        key
        for key, (low, high) in own.intervals.items()
        if key in published.counted and low <= published.counted[key] <= high
    ]
