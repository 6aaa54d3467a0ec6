"""One table of the runs of a sweep, the swept keys first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from piebench_eval.combination_names import REFERENCES
from piebench_eval.demo.embedded import NOTICE
from piebench_eval.tables.aggregate import omission_remarks
from piebench_eval.tables.remarks import demo_remarks, score_remarks
from piebench_eval.tables.views import View, means_view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from piebench_eval.recipes.sweep import Sweep
    from piebench_eval.tables.layout import TableMetric
    from piebench_eval.tables.score_table import ScoreTable


@dataclass(frozen=True)
class SweepTable:
    """The scores of the runs of a sweep.

    Attributes:
        sweep: the sweep.
        score_tables: the scores of its runs, in their order.
    """

    sweep: Sweep
    score_tables: Sequence[ScoreTable]

    @property
    def means(self) -> pd.DataFrame:
        """A row per run and combination, with intervals and counts in full precision."""
        return self._joined(lambda score_table: score_table.for_programs(score_table.means), _exact)

    def metrics(self, exact: bool) -> tuple[TableMetric, ...]:
        """The metrics of ``view``."""
        return self.score_tables[0].metrics(every=exact)

    def view(self, exact: bool) -> View:
        """The table of means with its remarks.

        Args:
            exact: every metric, and swept values for programs; else what fits a terminal, for readers.
        """
        metrics = self.metrics(exact)
        show = _exact if exact else _text

        def means(score_table: ScoreTable) -> pd.DataFrame:
            table = means_view(score_table, metrics).table
            return score_table.for_programs(table) if exact else table

        return View(self._joined(means, show), self._remarks(metrics))

    def _joined(
        self, table_of: Callable[[ScoreTable], pd.DataFrame], show: Callable[[Any], Any]
    ) -> pd.DataFrame:
        """Concatenate the runs' tables, with the swept keys as first columns.

        The demo's reference rows, oracle and source-copy, are the same in every run and are left out.
        """
        tables = []
        for run, score_table in zip(self.sweep.runs, self.score_tables, strict=True):
            table = table_of(score_table)
            table = score_table.labelled(
                table[(table["inversion"] != "") | ~table["method"].isin(REFERENCES)]
            )
            table = table.drop(columns=list(run.settings), errors="ignore")
            for place, (key, value) in enumerate(run.settings.items()):
                table.insert(place, key, show(value))
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def _remarks(self, metrics: Sequence[TableMetric]) -> list[str]:
        """Remarks below the table; those that all runs share are given once."""
        of_runs = [
            [*score_remarks(table.rows, table.provenance, table.rules), *omission_remarks(table.means)]
            for table in self.score_tables
        ]
        shared = [remark for remark in of_runs[0] if all(remark in remarks for remarks in of_runs)]
        own = [
            f"{run.folder}: {remark}"
            for run, remarks in zip(self.sweep.runs, of_runs, strict=True)
            for remark in remarks
            if remark not in shared
        ]
        is_demo = any(table.is_demo for table in self.score_tables)
        notice = [NOTICE, *demo_remarks(metrics)] if is_demo else []
        return [*notice, *shared, *own]


def _exact(value: Any) -> Any:
    """A swept value for programs; None as ``null``, since an empty cell would be ambiguous."""
    return "null" if value is None else value


def _text(value: Any) -> str:
    """A swept value for readers, as in the recipe; means are rounded, swept values are not."""
    return value if isinstance(value, str) else json.dumps(value)
