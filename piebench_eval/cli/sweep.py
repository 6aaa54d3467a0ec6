"""``piebench sweep``: score the runs of a sweep and print one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piebench_eval.api.arguments import names
from piebench_eval.cli.console import kept_on_interrupt
from piebench_eval.cli.scoring_options import (
    AllowMissingOption,
    AllowPickleOption,
    ClipOption,
    DeviceOption,
    DinoOption,
    LpipsWeightsOption,
    MetricsOption,
    MovedDataOption,
    ProtocolOption,
)
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
        Path, typer.Argument(help="Folder of the sweep: --out of piebench run --sweep.", show_default=False)
    ],
    data: MovedDataOption = None,
    metrics: MetricsOption = None,
    protocol: ProtocolOption = "paper",
    dino: DinoOption = None,
    clip: ClipOption = None,
    lpips_weights: LpipsWeightsOption = None,
    allow_pickle: AllowPickleOption = False,
    device: DeviceOption = "auto",
    allow_missing: AllowMissingOption = False,
    output: Annotated[TableFormat, typer.Option("--format", help="How to print it.")] = TableFormat.table,
) -> None:
    """Score the runs of a sweep and print one table; known scores are not computed again.

    A row per run and combination, the swept keys first. The means are also
    written to table.csv in the folder, with intervals and counts. Every run
    of a sweep is an ordinary run folder, for all other commands.

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
    _require_runs(folder, found)
    sources = []
    for run in found.runs:
        evaluation_set = evaluation_set_of_run(folder / run.folder, data or _own_benchmark(folder))
        evaluation_set.require_complete(or_warn=allow_missing)
        models = evaluation_set.models(dino=dino, clip=clip, lpips_weights=lpips_weights)
        columns = evaluation_set.columns if asked is None else asked
        scoring = Scoring(models, protocol, rules, columns, allow_pickle=allow_pickle)
        sources.append(_score(evaluation_set, scoring, device))
    means = _joined(found, sources, lambda source: source.means, _exact)
    write_whole(folder / TABLE_FILE, to_text(means, "csv").encode())
    exact = output in (TableFormat.csv, TableFormat.json)
    shown = sources[0].metrics(every=exact)
    show = _exact if exact else _text
    table = _joined(found, sources, lambda source: means_view(source, shown).table, show)
    titles = {metric.key: metric.title for metric in shown}
    print_view(View(table, _remarks(found, sources, shown)), output, titles)


def _require_runs(folder: Path, found: Sweep) -> None:
    """Check that every run of a sweep exists and has the sweep's recipe.

    Raises:
        PiebenchError: a run is missing or has another recipe.
    """
    from piebench_eval.runs.store.folder import RunStore

    for run in found.runs:
        place = folder / run.folder
        if not RunStore.exists(place):
            raise PiebenchError(f"{place}: is not made yet; make it with the same piebench run --sweep")
        if RunStore.read(place).recipe.hash != run.recipe_hash:
            raise PiebenchError(f"{place}: holds a run by another recipe than the sweep's; restore it")


def _own_benchmark(folder: Path) -> Path | None:
    """The benchmark that was drawn into the sweep's folder, and moves with it; None if there is none."""
    from piebench_eval.runs.store.paths import BENCHMARK_FOLDER

    own = folder / BENCHMARK_FOLDER
    return own if own.is_dir() else None


def _score(evaluation_set: EvaluationSet, scoring: Scoring, device: str) -> ScoreTable:
    """Score a run's images and read the scores."""
    from piebench_eval.api.progress import shown_progress
    from piebench_eval.api.tabulating import load_scores
    from piebench_eval.scoring.scores_file import score_images

    with kept_on_interrupt(), shown_progress() as on_progress:
        score_images(evaluation_set, scoring, on_progress, device=device)
    return load_scores([evaluation_set.scores_file])


def _joined(
    found: Sweep,
    sources: Sequence[ScoreTable],
    table_of: Callable[[ScoreTable], pd.DataFrame],
    show: Callable[[Any], Any],
) -> pd.DataFrame:
    """Concatenate the runs' tables, with the swept keys as first columns.

    The demo's reference rows, oracle and source-copy, are the same in every run and are left out.
    """
    import pandas as pd

    tables = []
    for run, source in zip(found.runs, sources, strict=True):
        table = table_of(source)
        table = source.labelled(table[table["inversion"] != ""])
        table = table.drop(columns=list(run.settings), errors="ignore")
        for place, (key, value) in enumerate(run.settings.items()):
            table.insert(place, key, show(value))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _exact(value: Any) -> Any:
    """A swept value for programs; None as ``null``, since an empty cell would be ambiguous."""
    return "null" if value is None else value


def _text(value: Any) -> str:
    """A swept value for readers, as in the recipe; means are rounded, swept values are not."""
    return value if isinstance(value, str) else json.dumps(value)


def _remarks(found: Sweep, sources: Sequence[ScoreTable], metrics: Sequence[TableMetric]) -> list[str]:
    """Remarks below the table; those that all runs share are printed once."""
    from piebench_eval.tables.aggregate import omission_remarks
    from piebench_eval.tables.remarks import demo_remarks, score_remarks

    of_runs = [
        [*score_remarks(source.rows, source.provenance, source.rules), *omission_remarks(source.means)]
        for source in sources
    ]
    shared = [remark for remark in of_runs[0] if all(remark in remarks for remarks in of_runs)]
    own = [
        f"{run.folder}: {remark}"
        for run, remarks in zip(found.runs, of_runs, strict=True)
        for remark in remarks
        if remark not in shared
    ]
    is_demo = any(source.is_demo for source in sources)
    notice = [NOTICE, *demo_remarks(metrics)] if is_demo else []
    return [*notice, *shared, *own]
