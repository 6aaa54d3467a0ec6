"""The means that a pack claims, and the edits that its scores are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import REFERENCES
from piebench_eval.tables.formats.cells import json_number
from piebench_eval.tables.scores import label_columns

if TYPE_CHECKING:
    import pandas as pd

    from piebench_eval.tables.score_table import ScoreTable


def means_of(score_table: ScoreTable) -> list[dict[str, Any]]:
    """A row per combination: labels, number of pictures, and the mean of each metric in printed units."""
    means = score_table.means
    columns = [*label_columns(means), "images", *(metric.key for metric in score_table.metrics(every=True))]
    return [
        {str(column): json_number(value) for column, value in row.items()}
        for row in means[columns].to_dict(orient="records")
    ]


def edited_rows(rows: pd.DataFrame) -> set[tuple[str, str, str]]:
    """Inversion, method and sample of every row of a run's scores but for those of references."""
    keys = rows[["inversion", "method", "id"]].itertuples(index=False, name=None)
    return {key for key in keys if is_edited(*key[:2])}


def is_edited(inversion: str, method: str) -> bool:
    """Whether a run makes the pictures of a row, which no reference's are."""
    return bool(inversion) or method not in REFERENCES
