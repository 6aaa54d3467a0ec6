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
from piebench_eval.tables.combined import put_together, told_apart
from piebench_eval.tables.demo_notes import column_notes
from piebench_eval.tables.formats.text import to_text
from piebench_eval.tables.provenance import about_of_rows
from piebench_eval.tables.remarks import remarks_on
from piebench_eval.tables.score_table import read_part, read_score_table, score_table_of

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
            the method and no inversion; what several runs call alike has the run's name in a column ``run``.
        compare_paper: the published numbers beside the measured ones; with several runs and files, the
            paper's rows between theirs.
        versus: name of a combination to hold every other one against, picture by picture.
        intervals: every mean with its standard error, 95% interval and how many values it rests on.
        by_type: a row per editing type.
        types: editing types that count; all by default.

    Returns:
        Labels, then numbers with all their digits. ``attrs["remarks"]`` are lines that a reader must know:
        what was left out of the means, what stands in the way of a verdict.

    Raises:
        PiebenchError: options that exclude each other, or scores that lack what is asked for.
    """
    asked = {"compare_paper": compare_paper, "versus": versus, "intervals": intervals, "by_type": by_type}
    require_one(asked)
    several = False
    if isinstance(scores, pd.DataFrame):
        source = score_table_of(scores, about_of_rows(scores), names(types))
    else:
        places = [Path(scores)] if isinstance(scores, str | Path) else [Path(place) for place in scores]
        several = len(places) > 1
        source = read_scored(places, names(types))
    view = view_of(source, source.metrics(every=True), compare_paper, versus, intervals, by_type, several)
    made = view.table.reset_index(drop=True)
    made.attrs = {"remarks": list(view.remarks)}
    return made


def require_one(asked: Mapping[str, object]) -> None:
    """Check that at most one table is asked for.

    Args:
        asked: what was given for each option.

    Raises:
        PiebenchError: several are.
    """
    given = [option for option, value in asked.items() if value]
    if len(given) > 1:
        raise PiebenchError(f"{' and '.join(given)}: each asks for a table of its own; give one of them")


def read_scored(places: Sequence[Path], types: Sequence[str] | None = None) -> ScoreTable:
    """The scores of run folders and in scores files, put together.

    Args:
        places: the folders and files; one at least.
        types: editing types that count.

    Raises:
        PiebenchError: there are none, they cannot be used or not together, or do not have these types.
    """
    if not places:
        raise PiebenchError("there are no scores to tabulate; name run folders or scores files")
    files = [scores_file_of(place) for place in places]
    if len(files) == 1:
        return read_score_table(files[0], provenance_file(files[0]), types)
    parts = [read_part(place, file, provenance_file(file)) for place, file in zip(places, files, strict=True)]
    return score_table_of(*put_together(told_apart(parts)), types)


def view_of(
    source: ScoreTable,
    metrics: Sequence[TableMetric],
    compare_paper: bool = False,
    versus: str | None = None,
    intervals: bool = False,
    by_type: bool = False,
    several: bool = False,
) -> View:
    """The table that is asked for, labelled if it is the demo's, with all that a reader must know.

    Args:
        source: the scores.
        metrics: those to show.
        compare_paper: as in ``table``, and so are the others.
        versus: likewise.
        intervals: likewise.
        by_type: likewise.
        several: whether the scores are of several runs and folders.
    """
    if versus is not None:
        view = views.versus_view(source, versus, metrics)
    elif compare_paper:
        view = (views.beside_paper_view if several else views.comparison_view)(source)
    elif intervals:
        view = views.intervals_view(source, metrics)
    else:
        view = (views.by_type_view if by_type else views.means_view)(source, metrics)
    notice = [NOTICE, *column_notes(metrics)] if source.is_of_demo else []
    remarks = [*notice, *remarks_on(source.rows, source.about, source.rules), *view.remarks]
    return replace(view, table=source.labelled(view.table), remarks=remarks)


def keep_means(run: Path, source: ScoreTable) -> None:
    """Write a run's means, with intervals and counts, into its folder.

    Raises:
        PiebenchError: the disk is full, or the folder cannot be written to.
    """
    write_whole(run / TABLE_FILE, to_text(source.labelled(source.means), "csv").encode())
