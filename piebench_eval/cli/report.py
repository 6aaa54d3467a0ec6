"""``piebench report``: scored runs and folders as an HTML page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.api.progress import shown_progress
from piebench_eval.cli.console import kept_on_interrupt, out
from piebench_eval.cli.scoring_options import MovedDataOption
from piebench_eval.demo.embedded import NOTICE

_FOLDER, _FOLDER_OF_SEVERAL = "report", Path("piebench-report")


def report(
    scores: Annotated[
        list[Path],
        typer.Argument(
            help="Scored run folder, or a folder's scores file, or several, combined on one page.",
            show_default=False,
        ),
    ],
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where to write it; by default RUN/report, or piebench-report for anything but one run. An "
            "older report there is replaced, nothing else.",
            show_default=False,
        ),
    ] = None,
    data: MovedDataOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write scored runs and folders as a page: means, differences, trade-off, editing types, every image.

    The page opens from disk, without a server or a network. Thumbnails,
    sources and mask outlines are in the report's folder; a run's full-size
    edits are linked from the run folder, so move the two together.

    Examples:

      piebench report runs/x

      piebench report runs/x --out /tmp/look --json

      piebench report runs/a runs/b my-method.csv --out compared
    """
    from piebench_eval.report.build import build_report
    from piebench_eval.report.content import read_content
    from piebench_eval.report.folder import require_replaceable
    from piebench_eval.tables.remarks import demo_remarks

    is_one_run = len(scores) == 1 and not scores[0].is_file()
    folder = out_folder or (scores[0] / _FOLDER if is_one_run else _FOLDER_OF_SEVERAL)
    require_replaceable(folder)
    scored = read_content(scores, data)
    metrics = scored.score_table.metrics(every=True)
    notices = [NOTICE, *demo_remarks(metrics)] if scored.score_table.is_demo else []
    unfinished = "no report is written, and an older one is unchanged"
    with kept_on_interrupt(unfinished), shown_progress() as on_progress:
        made = build_report(scored, folder, notices, lambda done, total: on_progress("pictures", done, total))
    if as_json:
        out.print_json(data={**asdict(made), "page": str(made.page)})
    else:
        out.print(
            f"{made.samples} samples, {made.combinations} combinations, {made.pictures} pictures",
            markup=False,
        )
        out.print(f"Open: {made.page}", markup=False)
