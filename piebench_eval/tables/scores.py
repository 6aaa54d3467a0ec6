"""Scores files: a row per picture and combination, its labels and its editing type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.errors import PiebenchError
from piebench_eval.metrics.columns import BACKGROUND_COLUMNS
from piebench_eval.tables.layout import metrics_in, type_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from piebench_eval.metrics.protocol import AverageRules

RUN = "run"
"""Column with the name of the run, where several runs have a combination of the same name."""


def read_scores(file: Path) -> pd.DataFrame:
    """Read a scores file, with any metrics; all other columns stay text.

    Raises:
        PiebenchError: it is missing, not a CSV file, lacks a column, or has a score that is not a number.
    """
    if not file.is_file():
        raise PiebenchError(f"{file}: no such file; make it with piebench score")
    try:
        # Only "nan" in a score is a missing value: a method may well be called "null" or "NA".
        scores = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise PiebenchError(f"{file}: is not a scores file ({error})") from None
    metrics = metrics_in(scores.columns)
    needs = {
        "id": "id" in scores.columns,
        "inversion and method, or name": bool(label_columns(scores)),
        "of a metric": bool(metrics),
    }
    if missing := [columns for columns, found in needs.items() if not found]:
        raise PiebenchError(f"{file}: has no column {', '.join(missing)}; make the file with piebench score")
    if scores.empty:
        raise PiebenchError(f"{file}: has no rows; make the file with piebench score")
    return scores.assign(**{metric.column: _numbers(scores, metric.column, file) for metric in metrics})


def _numbers(scores: pd.DataFrame, column: str, file: Path) -> pd.Series:
    try:
        return scores[column].astype(float)
    except ValueError:
        index = next(index for index, text in enumerate(scores[column]) if not _is_number(text))
        raise PiebenchError(
            f"{file}: column {column}, row {index + 2} (id {scores['id'][index]}): "
            f"{scores[column][index]!r} is not a number; write a number, nan or inf there"
        ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_columns(scores: pd.DataFrame) -> list[str]:
    """The columns that identify a combination: method and inversion, or name; and run, if present."""
    for labels in (["method", "inversion"], ["name"]):
        if all(label in scores.columns for label in labels):
            return [*labels, RUN] if RUN in scores.columns else labels
    return []


def combination_name(row: Mapping[Any, Any] | pd.Series, labels: Sequence[str]) -> str:
    """The name of a row of means: ``inversion+method`` or a name, after its run, if any."""
    name = "+".join(str(row[label]) for label in reversed(labels) if label != RUN and row[label])
    return f"{row[RUN]}/{name}" if RUN in labels and row[RUN] else name


def with_uniform_labels(scores: pd.DataFrame) -> pd.DataFrame:
    """Label the rows of a run (inversion and method) and those of a folder (name) in the same columns.

    Where both kinds occur, a row of a folder gets its name as the method and no inversion, like the demo's
    reference rows.

    Args:
        scores: a row per picture and combination.

    Returns:
        The scores, with labels and editing types as text in every row.

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
        is_folder = texts["method"] == ""
        texts["inversion"] = texts["inversion"].mask(is_folder, "")
        texts["method"] = texts["method"].mask(is_folder, texts["name"])
    labelled = scores.assign(**texts)
    _require_labels(labelled, labels)
    _require_one_row_per_picture(labelled, labels)
    return labelled


def select_types(scores: pd.DataFrame, types: Sequence[str] | None) -> pd.DataFrame:
    """The rows of these editing types; all rows if None.

    Raises:
        PiebenchError: the scores have no types, or no row of these.
    """
    if types is None:
        return scores
    require_type_column(scores)
    kept = scores[scores["type"].isin(types)]
    if kept.empty:
        raise PiebenchError(
            f"the scores have no row of editing type {', '.join(types)}; there are: {_known(scores)}"
        )
    return kept


def counted_rows(scores: pd.DataFrame, rules: AverageRules) -> pd.DataFrame:
    """The rows that enter the means: of the editing types that count, and of the pictures.

    Raises:
        PiebenchError: the scores have no types, or no row of those that count; or only pictures with a
            background count, and the scores cannot tell which have one.
    """
    if rules.over == "types":
        require_type_column(scores)
    scores = select_types(scores, rules.types)
    if rules.pictures == "all":
        return scores
    background = [column for column in BACKGROUND_COLUMNS if column in scores.columns]
    if not background:
        raise PiebenchError(
            "average.pictures=with_background: the scores have no background metric, which tells which "
            f"pictures have a background; score {BACKGROUND_COLUMNS[0]} as well"
        )
    kept = scores[~scores[background].isna().all(axis=1)]
    if kept.empty:
        raise PiebenchError("average.pictures=with_background: no picture of the scores has a background")
    return kept


def require_types(scores: pd.DataFrame, types: Sequence[str]) -> None:
    """Check that scores hold every type that is asked for.

    Raises:
        PiebenchError: they do not, or have no column of types.
    """
    require_type_column(scores)
    if unknown := sorted(set(types) - set(scores["type"])):
        raise PiebenchError(
            f"--types {','.join(types)}: the scores hold no editing type {', '.join(unknown)}; "
            f"there are: {_known(scores)}"
        )


def require_type_column(scores: pd.DataFrame) -> None:
    """Check that every row has an editing type.

    Raises:
        PiebenchError: the column is missing, or empty in a row.
    """
    if "type" not in scores.columns:
        raise PiebenchError("the scores have no column type; make the file with piebench score")
    untyped = scores[scores["type"].isna() | (scores["type"] == "")]
    if len(untyped):
        raise PiebenchError(
            f"{len(untyped)} rows of the scores have no editing type (the first is of id "
            f"{untyped['id'].iloc[0]}); fill column type"
        )


def _text(value: Any) -> str:
    """A label as text; a whole number that pandas read as a float has no decimals."""
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
            "per picture, or give rows of different runs different names"
        )


def _known(scores: pd.DataFrame) -> str:
    return ", ".join(sorted(set(scores["type"]), key=type_order))
