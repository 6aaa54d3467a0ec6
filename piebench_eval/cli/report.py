"""``piebench report``: a run as a page to look through."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from piebench_eval.api.progress import shown_progress
from piebench_eval.cli.console import kept_on_interrupt, out
from piebench_eval.demo.embedded import NOTICE

_FOLDER = "report"


def report(
    run: Annotated[Path, typer.Argument(help="Scored run folder.", show_default=False)],
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where to write it; RUN/report by default. An older report there is replaced, nothing else.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="The benchmark folder, if it has moved since the run.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Write a scored run as a page: means, trade-off, editing types, and every picture.

    The page opens from disk, without a server or a network. Thumbnails,
    sources and mask outlines are in the report's folder; full edits are
    linked where the run keeps them, so move the two together.

    Examples:

      piebench report runs/x

      piebench report runs/x --out /tmp/look --json
    """
    from piebench_eval.report.build import build_report
    from piebench_eval.report.folder import require_replaceable
    from piebench_eval.report.run import read_scored_run
    from piebench_eval.runs.store import RunStore

    folder = out_folder or run / _FOLDER
    require_replaceable(folder)
    scored = read_scored_run(RunStore.read(run), data)
    notices = [NOTICE] if scored.source.is_of_demo else []
    unfinished = "no report is written, and an older one is as it was"
    with kept_on_interrupt(unfinished), shown_progress() as tell:
        made = build_report(scored, folder, notices, lambda done, total: tell("pictures", done, total))
    if as_json:
        out.print_json(data={**asdict(made), "page": str(made.page)})
    else:
        out.print(
            f"{made.samples} samples, {made.combinations} combinations, {made.pictures} pictures",
            markup=False,
        )
        out.print(f"Open: {made.page}", markup=False)
