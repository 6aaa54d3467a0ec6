"""The input of every table: scores, their provenance, and the rules for their means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from piebench_eval.data.selection import type_ids
from piebench_eval.tables.aggregate import aggregate
from piebench_eval.tables.combined import RunScores
from piebench_eval.tables.comparability import with_comparability
from piebench_eval.tables.layout import displayed_metrics, metrics_in
from piebench_eval.tables.paper.published import is_published
from piebench_eval.tables.provenance import (
    demo_label,
    is_demo,
    protocol_of,
    provenance_of_rows,
    read_provenance,
)
from piebench_eval.tables.resolutions import with_resolutions
from piebench_eval.tables.scores import RUN, counted_rows, read_scores, require_types, with_uniform_labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric


@dataclass(frozen=True)
class ScoreTable:
    """Scores with their provenance and averaging rules.

    Attributes:
        rows: a row per picture and combination, of the editing types and pictures that count.
        provenance: from ``read_provenance``.
        rules: how scores are averaged.
    """

    rows: pd.DataFrame
    provenance: dict[str, Any]
    rules: AverageRules

    @cached_property
    def means(self) -> pd.DataFrame:
        """A row per combination, from ``aggregate``."""
        return aggregate(self.rows, self.rules)

    @property
    def leaves_out_pictures(self) -> bool:
        """Whether the rules let some pictures alone count."""
        return self.rules.types is not None or self.rules.pictures != "all"

    @property
    def is_demo(self) -> bool:
        """Whether the embedded models made the scores."""
        return is_demo(self.provenance)

    def metrics(self, every: bool) -> tuple[TableMetric, ...]:
        """The metrics that were scored: all, or those that are shown where width is limited."""
        metrics = metrics_in(self.rows.columns)
        return metrics if every else displayed_metrics(metrics)

    def for_programs(self, table: pd.DataFrame) -> pd.DataFrame:
        """Add what each row rests on, see ``tables.comparability``, and how its edits got in and out."""
        described = with_comparability(table, self.rows, self.provenance)
        return with_resolutions(described, self.provenance)

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """Mark the rows of a demo's table in a column ``model``; other tables are returned as they are."""
        if (label := demo_label(self.provenance)) is not None:
            table = table.copy()
            table.insert(0, "model", label)
            if RUN in table.columns:
                table.loc[table[RUN].map(is_published), "model"] = ""
        return table


def read_score_table(scores_file: Path, beside: Path, types: Sequence[str] | None) -> ScoreTable:
    """Read scores and their provenance.

    Args:
        scores_file: the scores.
        beside: the JSON file beside them; it may be missing.
        types: editing types that count, instead of the protocol's.

    Raises:
        PiebenchError: the scores cannot be used, or do not have these types.
    """
    rows = read_scores(scores_file)
    return make_score_table(rows, read_provenance(beside) or provenance_of_rows(rows), types, str(beside))


def read_run_scores(path: Path, scores_file: Path, beside: Path) -> RunScores:
    """Read the scores of one run or folder, to be combined with others.

    Args:
        path: what the user named.
        scores_file: its scores.
        beside: the JSON file beside them; it may be missing.

    Raises:
        PiebenchError: the scores cannot be used.
    """
    rows = read_scores(scores_file)
    return RunScores(path, with_uniform_labels(rows), read_provenance(beside) or provenance_of_rows(rows))


def make_score_table(
    rows: pd.DataFrame, provenance: dict[str, Any], types: Sequence[str] | None, file: str = "the scores"
) -> ScoreTable:
    """Build a ``ScoreTable`` from scores that have been read.

    Args:
        rows: from ``read_scores``.
        provenance: from ``read_provenance``.
        types: editing types that count, instead of the protocol's.
        file: the file of ``provenance``, for messages.

    Raises:
        PiebenchError: the protocol is invalid, the scores do not have these types, or a row has no label, or
            the label and id of another.
    """
    rows = with_uniform_labels(rows)
    _, protocol = protocol_of(provenance, file)
    rules = protocol.average
    if types is not None:
        types = type_ids(types)
        require_types(rows, types)
        rules = rules.model_copy(update={"types": tuple(types)})
    return ScoreTable(counted_rows(rows, rules), provenance, rules)
