"""``piebench sweep``: the points of a sweep, scored and in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.arguments import names
from piebench_eval.cli.console import kept_on_interrupt
from piebench_eval.cli.score import AllowPickleOption, ClipOption, DinoOption, LpipsOption
from piebench_eval.cli.table import TableFormat, print_view
from piebench_eval.demo.embedded import NOTICE
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from piebench_eval.recipes.sweep import Sweep
    from piebench_eval.scoring.evaluation_set import EvaluationSet
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.tables.layout import TableMetric
    from piebench_eval.tables.score_table import ScoreTable


def sweep(
    folder: Annotated[
        Path, typer.Argument(help="What piebench run --sweep had as --out.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="The benchmark folder, if it has moved since the run.", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Columns to score, as in piebench score.", show_default=False)
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="paper, modern or a YAML file, as in piebench score.")
    ] = "paper",
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsOption = None,
    allow_pickle: AllowPickleOption = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    allow_missing: Annotated[bool, typer.Option(help="Score what is there if pictures are missing.")] = False,
    output: Annotated[TableFormat, typer.Option("--format", help="How to print it.")] = TableFormat.table,
) -> None:
    """Score the points of a sweep, where that is not done yet, and print them as one table.

    A row per point and combination, the swept keys first. The folder also
    gets the means, with intervals and counts, as table.csv. Every point is an
    ordinary run folder, for all other commands.

    Examples:

      piebench run --data PIE-Bench_v1 --config ablations/guidance --out runs/guidance

      piebench sweep runs/guidance

      piebench sweep runs/guidance --format csv > guidance.csv
    """
    from piebench_eval.files import write_whole
    from piebench_eval.metrics.protocol import read_protocol
    from piebench_eval.models.location import check_device_name
    from piebench_eval.runs.store.paths import TABLE_FILE
    from piebench_eval.runs.store.sweep_folder import read_sweep
    from piebench_eval.scoring.evaluation_set import evaluation_set_of_run, metric_columns
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.tables.formats.text import to_text
    from piebench_eval.tables.views import View, means_view

    check_device_name(device)
    asked = None if metrics is None else metric_columns(names(metrics) or ())
    rules = read_protocol(protocol)
    found = read_sweep(folder)
    _require_points(folder, found)
    sources = []
    for point in found.runs:
        pictures = evaluation_set_of_run(folder / point.folder, data or _own_benchmark(folder))
        pictures.require_complete(or_warn=allow_missing)
        models = pictures.models(dino=dino, clip=clip, lpips_weights=lpips_weights)
        columns = pictures.columns if asked is None else asked
        scoring = Scoring(models, protocol, rules, columns, allow_pickle=allow_pickle)
        sources.append(_score(pictures, scoring, device))
    means = _joined(found, sources, lambda source: source.means, _exact)
    write_whole(folder / TABLE_FILE, to_text(means, "csv").encode())
    exact = output in (TableFormat.csv, TableFormat.json)
    shown = sources[0].metrics(every=exact)
    show = _exact if exact else _text
    table = _joined(found, sources, lambda source: means_view(source, shown).table, show)
    titles = {metric.key: metric.title for metric in shown}
    print_view(View(table, _remarks(found, sources, shown)), output, titles)


def _require_points(folder: Path, found: Sweep) -> None:
    """Check that every point is there and is what the sweep says.

    Raises:
        PiebenchError: one is not.
    """
    from piebench_eval.runs.store.folder import RunStore

    for point in found.runs:
        place = folder / point.folder
        if not RunStore.exists(place):
            raise PiebenchError(f"{place}: is not made yet; the same piebench run --sweep goes on there")
        if RunStore.read(place).recipe.hash != point.recipe_hash:
            raise PiebenchError(f"{place}: holds a run by another recipe than the sweep's; restore it")


def _own_benchmark(folder: Path) -> Path | None:
    """The benchmark that was drawn for the sweep; its points may have been moved with it."""
    from piebench_eval.runs.store.paths import BENCHMARK_FOLDER

    own = folder / BENCHMARK_FOLDER
    return own if own.is_dir() else None


def _score(pictures: EvaluationSet, scoring: Scoring, device: str) -> ScoreTable:
    """Score a point's pictures, as far as that is not done."""
    from piebench_eval.api.progress import shown_progress
    from piebench_eval.api.tabulating import load_scores
    from piebench_eval.scoring.score_pictures import score_pictures

    with kept_on_interrupt(), shown_progress() as tell:
        score_pictures(pictures, scoring, tell, device=device)
    return load_scores([pictures.scores_file])


def _joined(
    found: Sweep,
    sources: Sequence[ScoreTable],
    table_of: Callable[[ScoreTable], pd.DataFrame],
    show: Callable[[Any], Any],
) -> pd.DataFrame:
    """The points' tables below each other: the swept keys, then what each table has.

    Rows that no edit made, the demo's oracle and source-copy, are the same at every point and left out.
    """
    import pandas as pd

    tables = []
    for point, source in zip(found.runs, sources, strict=True):
        table = table_of(source)
        table = source.labelled(table[table["inversion"] != ""])
        table = table.drop(columns=list(point.settings), errors="ignore")
        for place, (key, value) in enumerate(point.settings.items()):
            table.insert(place, key, show(value))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _exact(value: Any) -> Any:
    """A swept value for programs; what is no value is said, since an empty cell would not say it."""
    return "null" if value is None else value


def _text(value: Any) -> str:
    """A swept value for readers: as it was written, not rounded as means are."""
    return value if isinstance(value, str) else json.dumps(value)


def _remarks(found: Sweep, sources: Sequence[ScoreTable], metrics: Sequence[TableMetric]) -> list[str]:
    """What readers must know, once if it is the same for every point."""
    from piebench_eval.tables.aggregate import omission_remarks
    from piebench_eval.tables.remarks import demo_remarks, score_remarks

    of_points = [
        [*score_remarks(source.rows, source.provenance, source.rules), *omission_remarks(source.means)]
        for source in sources
    ]
    shared = [remark for remark in of_points[0] if all(remark in remarks for remarks in of_points)]
    own = [
        f"{point.folder}: {remark}"
        for point, remarks in zip(found.runs, of_points, strict=True)
        for remark in remarks
        if remark not in shared
    ]
    is_demo = any(source.is_demo for source in sources)
    notice = [NOTICE, *demo_remarks(metrics)] if is_demo else []
    return [*notice, *shared, *own]
