"""``piebench sweep``: score the runs of a sweep and print one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from piebench_eval.recipes.sweep import Sweep
    from piebench_eval.scoring.evaluation_set import EvaluationSet
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.tables.score_table import ScoreTable


def sweep(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the sweep: --out of its piebench run.", show_default=False)
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

    A row per run and combination, the swept keys or the run's name first.
    The means are also written to table.csv in the folder, with intervals and counts. Every run
    of a sweep is an ordinary run folder, for all other commands.

    Examples:

      piebench run --data PIE-Bench_v1 --config ablations/guidance --out runs/guidance

      piebench sweep runs/guidance

      piebench sweep runs/guidance --format csv > guidance.csv

      piebench run --data PIE-Bench_v1 --config flow-table --out runs/flow

      piebench sweep runs/flow
    """
    from piebench_eval.files import write_whole
    from piebench_eval.metrics.protocol import read_protocol
    from piebench_eval.models.location import check_device_name
    from piebench_eval.runs.store.paths import TABLE_FILE
    from piebench_eval.runs.store.sweep_folder import read_sweep
    from piebench_eval.scoring.evaluation_set import evaluation_set_of_run, metric_columns
    from piebench_eval.scoring.score import Scoring
    from piebench_eval.tables.formats.text import to_text
    from piebench_eval.tables.sweep_table import SweepTable

    check_device_name(device)
    asked = None if metrics is None else metric_columns(names(metrics) or ())
    rules = read_protocol(protocol)
    found = read_sweep(folder)
    _require_runs(folder, found)
    score_tables = []
    for run in found.runs:
        evaluation_set = evaluation_set_of_run(folder / run.folder, data or _own_benchmark(folder))
        evaluation_set.require_complete(or_warn=allow_missing)
        models = evaluation_set.models(dino=dino, clip=clip, lpips_weights=lpips_weights)
        columns = evaluation_set.columns if asked is None else asked
        scoring = Scoring(models, protocol, rules, columns, allow_pickle=allow_pickle)
        score_tables.append(_score(evaluation_set, scoring, device))
    table = SweepTable(found, score_tables)
    write_whole(folder / TABLE_FILE, to_text(table.means, "csv").encode())
    exact = output in (TableFormat.csv, TableFormat.json)
    print_view(table.view(exact), output, {metric.key: metric.title for metric in table.metrics(exact)})


def _require_runs(folder: Path, found: Sweep) -> None:
    """Check that every run of a sweep exists and has the sweep's recipe.

    Raises:
        PiebenchError: a run is missing or has another recipe.
    """
    from piebench_eval.runs.store.folder import RunStore

    for run in found.runs:
        place = folder / run.folder
        if not RunStore.exists(place):
            raise PiebenchError(f"{place}: is not made yet; make it with the same piebench run")
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
