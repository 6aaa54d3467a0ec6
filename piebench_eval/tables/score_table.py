"""What a table is made from: scores, what is known of them, and the rules for their means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from piebench_eval.data.selection import type_ids
from piebench_eval.demo.embedded import DEMO
from piebench_eval.tables.about import is_of_demo, protocol_of, read_about
from piebench_eval.tables.aggregate import RUN, aggregate, read_scores
from piebench_eval.tables.combined import Part
from piebench_eval.tables.editing_types import of_types, require_types
from piebench_eval.tables.labels import with_whole_labels
from piebench_eval.tables.layout import metrics_in, printed
from piebench_eval.tables.paper.published import PAPERS
from piebench_eval.tables.provenance import about_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from piebench_eval.metrics.protocol import AverageRules
    from piebench_eval.tables.layout import TableMetric


@dataclass(frozen=True)
class ScoreTable:
    """Scores and what they mean.

    Attributes:
        rows: a row per picture and combination, of the editing types that count.
        about: what is known of them.
        rules: how they are averaged.
    """

    rows: pd.DataFrame
    about: dict[str, Any]
    rules: AverageRules

    @cached_property
    def means(self) -> pd.DataFrame:
        """A row per combination, from ``aggregate``."""
        return aggregate(self.rows, self.rules)

    @property
    def is_of_demo(self) -> bool:
        """Whether the embedded models made the scores."""
        return is_of_demo(self.about)

    def metrics(self, every: bool) -> tuple[TableMetric, ...]:
        """The metrics that were scored: every one, or those that are shown where width is dear."""
        metrics = metrics_in(self.rows.columns)
        return metrics if every else printed(metrics)

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table; if it is the demo's, its rows say so, wherever they are copied to."""
        if self.is_of_demo:
            table = table.copy()
            table.insert(0, "model", DEMO)
            if RUN in table.columns:
                table.loc[table[RUN] == PAPERS, "model"] = ""
        return table


def read_score_table(scores_file: Path, about_file: Path, types: Sequence[str] | None) -> ScoreTable:
    """Read scores and what is known of them.

    Args:
        scores_file: the scores.
        about_file: the JSON file beside them, which may be missing.
        types: editing types that count, instead of the protocol's.

    Raises:
        PiebenchError: the scores cannot be used, or do not have these types.
    """
    rows = read_scores(scores_file)
    return score_table_of(rows, read_about(about_file) or about_of_rows(rows), types, str(about_file))


def read_part(place: Path, scores_file: Path, about_file: Path) -> Part:
    """Read the scores of one of several runs and folders.

    Args:
        place: what the user named.
        scores_file: its scores.
        about_file: the JSON file beside them, which may be missing.

    Raises:
        PiebenchError: the scores cannot be used.
    """
    rows = read_scores(scores_file)
    return Part(place, with_whole_labels(rows), read_about(about_file) or about_of_rows(rows))


def score_table_of(
    rows: pd.DataFrame, about: dict[str, Any], types: Sequence[str] | None, place: str = "the scores"
) -> ScoreTable:
    """What a table is made from, of scores that have been read.

    Args:
        rows: from ``read_scores``.
        about: what is known of them.
        types: editing types that count, instead of the protocol's.
        place: what to call the source of ``about`` in messages.

    Raises:
        PiebenchError: the protocol that they were made by is none, they do not have these types, or a row
            has no label, or the label and id of another.
    """
    rows = with_whole_labels(rows)
    _, protocol = protocol_of(about, place)
    rules = protocol.average
    if types is not None:
        types = type_ids(types)
        require_types(rows, types)
        rules = rules.model_copy(update={"types": tuple(types)})
    return ScoreTable(of_types(rows, rules.types), about, rules)
