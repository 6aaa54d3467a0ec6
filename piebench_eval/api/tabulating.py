"""Tables of scores from Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from piebench_eval.api.arguments import names
from piebench_eval.demo.embedded import NOTICE
from piebench_eval.errors import PiebenchError
from piebench_eval.files import write_whole
from piebench_eval.runs.store.paths import TABLE_FILE, scores_file_of
from piebench_eval.scoring.scores_file import provenance_file
from piebench_eval.tables import views
from piebench_eval.tables.combined import combine_scores, disambiguate
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.provenance import provenance_of_rows
from piebench_eval.tables.remarks import demo_remarks, score_remarks
from piebench_eval.tables.score_table import make_score_table, read_run_scores, read_score_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from piebench_eval.tables.layout import TableMetric
    from piebench_eval.tables.score_table import ScoreTable
    from piebench_eval.tables.views import View


def table(
    scores: str | Path | pd.DataFrame | Sequence[str | Path],
    *,
    compare_paper: bool = False,
    versus: str | None = None,
    intervals: bool = False,
    by_type: bool = False,
    types: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Mean scores of each combination in Table 1's rows and units, as ``piebench table`` prints them.

    At most one of ``compare_paper``, ``versus``, ``intervals`` and ``by_type`` may be asked for.

    Args:
        scores: a run folder, a scores file, or several of them in a list; or what ``score`` returned: whole,
            in part, or several of them concatenated. Together with a run's rows, a folder's has its name as
            the method and no inversion; a combination of several runs has the run's name in a column ``run``.
        compare_paper: the published numbers beside the measured ones; with several runs and files, the
            paper's rows between theirs.
        versus: name of a combination to compare every other one with, image by image.
        intervals: every mean with its standard error, 95% interval and number of values.
        by_type: a row per editing type.
        types: editing types that count; all by default.

    Returns:
        Labels, then numbers in full precision; for edits of runs also resolution, image loader and output
        resolution. ``attrs["remarks"]`` lists what a reader must know: values
        left out of the means, and why a verdict is missing.

    Raises:
        PiebenchError: options that exclude each other, or scores without the requested data.
    """
    asked = {"compare_paper": compare_paper, "versus": versus, "intervals": intervals, "by_type": by_type}
    require_at_most_one(asked)
    several = False
    if isinstance(scores, pd.DataFrame):
        score_table = make_score_table(scores, provenance_of_rows(scores), names(types))
    else:
        paths = [Path(scores)] if isinstance(scores, str | Path) else [Path(path) for path in scores]
        several = len(paths) > 1
        score_table = load_scores(paths, names(types))
    view = make_view(
        score_table, score_table.metrics(every=True), compare_paper, versus, intervals, by_type, several
    )
    made = view.table.reset_index(drop=True)
    made.attrs = {"remarks": list(view.remarks)}
    return made


def require_at_most_one(asked: Mapping[str, object]) -> None:
    """Check that at most one table is selected.

    Args:
        asked: the value of each option.

    Raises:
        PiebenchError: several are given.
    """
    given = [option for option, value in asked.items() if value]
    if len(given) > 1:
        raise PiebenchError(f"{' and '.join(given)}: each selects a different table; give one of them")


def load_scores(paths: Sequence[Path], types: Sequence[str] | None = None) -> ScoreTable:
    """Load the scores of run folders and scores files, combined if there are several.

    Args:
        paths: the folders and files; one at least.
        types: editing types that count.

    Raises:
        PiebenchError: there are none, they cannot be used or combined, or do not have these types.
    """
    if not paths:
        raise PiebenchError("there are no scores to tabulate; name run folders or scores files")
    files = [scores_file_of(path) for path in paths]
    if len(files) == 1:
        return read_score_table(files[0], provenance_file(files[0]), types)
    parts = [
        read_run_scores(path, file, provenance_file(file)) for path, file in zip(paths, files, strict=True)
    ]
    return make_score_table(*combine_scores(disambiguate(parts)), types)


def make_view(
    score_table: ScoreTable,
    metrics: Sequence[TableMetric],
    compare_paper: bool = False,
    versus: str | None = None,
    intervals: bool = False,
    by_type: bool = False,
    several: bool = False,
    exact: bool = True,
) -> View:
    """Make the selected table, labelled if it is the demo's, with all remarks.

    Args:
        score_table: the scores.
        metrics: those to show.
        compare_paper: see ``table``.
        versus: see ``table``.
        intervals: see ``table``.
        by_type: see ``table``.
        several: whether the scores are of several runs and folders.
        exact: for programs; adds the resolutions that the edits were made and saved at.
    """
    if versus is not None:
        view = views.paired_comparison_view(score_table, versus, metrics)
    elif compare_paper:
        view = (views.beside_paper_view if several else views.comparison_view)(score_table)
    elif intervals:
        view = views.intervals_view(score_table, metrics)
    else:
        view = (views.by_type_view if by_type else views.means_view)(score_table, metrics)
    notice = [NOTICE, *demo_remarks(metrics)] if score_table.is_demo else []
    remarks = [
        *notice,
        *score_remarks(score_table.rows, score_table.provenance, score_table.rules),
        *view.remarks,
    ]
    table = score_table.for_programs(view.table) if exact else view.table
    return replace(view, table=score_table.labelled(table), remarks=remarks)


def save_means(run: Path, score_table: ScoreTable) -> None:
    """Write a run's means, with intervals and counts, into its folder.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    means = score_table.labelled(score_table.for_programs(score_table.means))
    write_whole(run / TABLE_FILE, to_text(means, "csv").encode())
