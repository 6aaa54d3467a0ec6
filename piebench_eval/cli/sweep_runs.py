"""``piebench run --sweep``: the runs of a sweep, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from piebench_eval.cli.console import err, next_command, out
from piebench_eval.cli.execution import execute_with_progress
from piebench_eval.cli.forecast import print_forecast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.recipes.run_config import RunConfig
    from piebench_eval.runs.execute import RunSummary
    from piebench_eval.runs.plan import RunPlan


def run_sweep(
    folder: Path,
    axes: dict[str, list[Any]],
    run_config: RunConfig,
    plan: Callable[[Recipe, Path, Path], RunPlan],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Execute the runs of a sweep, one after the other; all are checked before the first begins.

    Args:
        folder: the folder of the run folders.
        axes: the values of each swept key.
        run_config: the configuration of all runs.
        plan: plans a run by its recipe, benchmark and run folder.
        dry_run: print what each run costs; edit nothing.
        as_json: print the summary as JSON.

    Raises:
        PiebenchError: anything that would make a run fail or mix results.
    """
    from piebench_eval.demo.benchmark import embedded_benchmark
    from piebench_eval.recipes.sweep import folder_name, plan_sweep
    from piebench_eval.runs.store.folder import plugins_of_run
    from piebench_eval.runs.store.paths import BENCHMARK_FOLDER
    from piebench_eval.runs.store.sweep_folder import check_sweep_folder, write_sweep

    def build(settings: dict[str, Any]) -> Recipe:
        return run_config.build(settings, plugins_of_run(folder / folder_name(settings)))[0]

    sweep, recipes = plan_sweep(axes, run_config.settings, build)
    check_sweep_folder(sweep, folder)
    _, benchmark = run_config.build(sweep.runs[0].settings)
    benchmark = benchmark or embedded_benchmark(folder / BENCHMARK_FOLDER)
    plans = [
        plan(recipe, benchmark, folder / run.folder) for run, recipe in zip(sweep.runs, recipes, strict=True)
    ]
    if dry_run:
        for run_plan in plans:
            print_forecast(run_plan, as_json)
        return
    write_sweep(sweep, folder)
    summaries = {}
    for number, (run, run_plan) in enumerate(zip(sweep.runs, plans, strict=True), 1):
        after = tuple(plans[number:])
        left = "; the time left is that of all runs" if after else ""
        err.print(f"run {number} of {len(plans)}: {run.folder}{left}", markup=False)
        summaries[run.folder] = execute_with_progress(replace(run_plan, after=after))
    _print_summary(folder, summaries, as_json)


def _print_summary(folder: Path, summaries: dict[str, RunSummary], as_json: bool) -> None:
    failed = [name for name, summary in summaries.items() if summary.failed]
    if as_json:
        runs = [{"folder": name, **vars(summary)} for name, summary in summaries.items()]
        out.print_json(data={"out": str(folder), "points": runs})
    else:
        made, found = (sum(getattr(s, what) for s in summaries.values()) for what in ("made", "found"))
        out.print(f"{len(summaries)} runs: {made} edits made, {found} were there already.", markup=False)
    for name in failed:
        err.print(f"failed edits in {name}: {next_command('status', folder / name)}", markup=False)
    if failed:
        raise typer.Exit(1)
    if not as_json:
        out.print(f"Next: {next_command('sweep', folder)}", markup=False)
