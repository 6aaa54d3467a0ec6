"""What made each row of scores, in a column: it stays with the rows wherever they are put together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import DEMO
from piebench_eval.errors import PiebenchError
from piebench_eval.tables.about import is_of_demo, lower_precision, parse_about, protocol_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

ABOUT_COLUMN = "about"
"""The column that holds, in each row, what made it: the JSON beside the scores file."""


def with_about(scores: pd.DataFrame, about: dict[str, Any]) -> pd.DataFrame:
    """Scores whose rows say what made them.

    Args:
        scores: from ``read_scores``.
        about: from ``read_about``.
    """
    return scores.assign(**{ABOUT_COLUMN: json.dumps(about)})


def about_of_rows(scores: pd.DataFrame) -> dict[str, Any]:
    """What is known of scores, by their own rows; by their ``attrs`` where no row says anything.

    Returns:
        What all of them share. ``unknown`` counts the rows that do not say what made them, if others do.

    Raises:
        PiebenchError: the rows were made by different protocols, networks or settings.
    """
    if ABOUT_COLUMN not in scores.columns:
        return dict(scores.attrs.get("about", {}))
    column = scores[ABOUT_COLUMN].fillna("")
    unknown = int((column == "").sum())
    about = _merged([parse_about(text) for text in column.unique() if text])
    return {**about, "unknown": unknown} if unknown else about


def _merged(abouts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What scores of several origins have in common, and what must be said of any of them."""
    if len(abouts) < 2:
        return dict(abouts[0]) if abouts else {}
    protocols = [protocol_of(about) for about in abouts]
    if any(rules != protocols[0][1] for _, rules in protocols):
        names = ", ".join(dict.fromkeys(name for name, _ in protocols))
        raise PiebenchError(
            f"the rows were scored by different protocols ({names}), so their numbers cannot stand in one "
            "table; score them anew by one protocol"
        )
    shared = {
        field: value
        for field, value in abouts[0].items()
        if all(field in about and about[field] == value for about in abouts)
    }
    if loaders := dict.fromkeys(loader for about in abouts if (loader := about.get("image_loader"))):
        shared["image_loader"] = ", ".join(loaders)
    if any(is_of_demo(about) for about in abouts):
        shared["model"] = DEMO
    return {
        **shared,
        "protocol": abouts[0].get("protocol", protocols[0][0]),
        "precision": next((found for about in abouts if (found := lower_precision(about))), "fp32"),
        "networks": _union(abouts, "networks", "scored with different networks", "score them anew with one"),
        "combinations": _union(
            abouts, "combinations", "edited with different settings", "tabulate them apart"
        ),
        "missing": [item for about in abouts for item in about.get("missing", ())],
        "resized": [item for about in abouts for item in about.get("resized", ())],
    }


def _union(abouts: Sequence[dict[str, Any]], field: str, conflict: str, remedy: str) -> dict[str, Any]:
    union: dict[str, Any] = {}
    for about in abouts:
        for key, value in about.get(field, {}).items():
            if union.setdefault(key, value) != value:
                raise PiebenchError(f"the rows were {conflict} ({key}); {remedy}")
    return union
