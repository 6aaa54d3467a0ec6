"""Labels of scores: every row says what it is of, whatever frames were put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.tables.aggregate import RUN, combination_name, label_columns

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_whole_labels(scores: pd.DataFrame) -> pd.DataFrame:
    """Label the rows of a run (inversion and method) and those of a folder (name) in the same columns.

    Where both kinds are together, a row of a folder has its name as the method and no inversion, as the
    demo's reference rows have.

    Args:
        scores: a row per picture and combination.

    Returns:
        The scores; labels and editing types are text, and no row lacks a label.

    Raises:
        PiebenchError: a row has no label, or there are two rows for a picture of a combination.
    """
    labels = label_columns(scores)
    if not labels or "id" not in scores.columns:
        raise PiebenchError(
            "the scores lack columns id, and inversion and method, or name; make them with piebench score"
        )
    texts = {
        column: scores[column].map(_text).astype(str)
        for column in ("inversion", "method", "name", RUN, "type")
        if column in scores.columns
    }
    if "name" in texts and "name" not in labels:
        of_a_folder = texts["method"] == ""
        texts["inversion"] = texts["inversion"].mask(of_a_folder, "")
        texts["method"] = texts["method"].mask(of_a_folder, texts["name"])
    whole = scores.assign(**texts)
    _require_labels(whole, labels)
    _require_one_row_per_picture(whole, labels)
    return whole


def _text(value: Any) -> str:
    """A label as text; numbers that pandas made of a type or a name read as they were written."""
    if pd.isna(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _require_labels(scores: pd.DataFrame, labels: Sequence[str]) -> None:
    unlabelled = scores[scores[labels[0]] == ""]
    if len(unlabelled):
        raise PiebenchError(
            f"{len(unlabelled)} rows of the scores have an empty {labels[0]} (the first is of id "
            f"{unlabelled['id'].iloc[0]}); fill inversion and method, or name"
        )


def _require_one_row_per_picture(scores: pd.DataFrame, labels: Sequence[str]) -> None:
    twice = scores[scores.duplicated([*labels, "id"])]
    if len(twice):
        row = twice.iloc[0]
        raise PiebenchError(
            f"{combination_name(row, labels)}: the scores hold id {row['id']} more than once; keep one row "
            "per picture, or give rows of different origin a name of their own"
        )
