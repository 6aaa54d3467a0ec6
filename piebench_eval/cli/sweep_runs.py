"""``piebench run`` with ``--sweep``, or with a recipe that names runs: one run after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from piebench_eval.cli.console import err, next_command, out
from piebench_eval.cli.execution import execute_with_progress
from piebench_eval.cli.forecast import print_forecast
from piebench_eval.cli.runs_forecast import print_runs_forecast
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.recipes.run_config import RunConfig
    from piebench_eval.recipes.sweep import Sweep
    from piebench_eval.runs.execute import RunSummary
    from piebench_eval.runs.plan import RunPlan


def run_sweep(
    folder: Path,
    axes: dict[str, list[Any]],
    run_config: RunConfig,
    plan: Callable[[Recipe, Path, Path], RunPlan],
    dry_run: bool,
    as_json: bool,
    pace: Path | None = None,
) -> None:
    """Execute the runs of a sweep, one after the other; all are checked before the first begins.

    Args:
        folder: the folder of the run folders.
        axes: the values of each swept key; the names of the runs, if the recipe file names some.
        run_config: the configuration of all runs.
        plan: plans a run by its recipe, benchmark and run folder.
        dry_run: print what each run costs; edit nothing.
        as_json: print the summary as JSON.
        pace: a file or folder with measured paces, for ``dry_run``.

    Raises:
        PiebenchError: anything that would make a run fail or mix results.
    """
    from piebench_eval.recipes.sweep import RUN_AXIS
    from piebench_eval.runs.store.sweep_folder import write_sweep

    sweep, plans = _plan_all(folder, axes, run_config, plan)
    if dry_run and RUN_AXIS in axes:
        print_runs_forecast(plans, folder, pace, as_json)
        return
    if dry_run:
        for run_plan in plans.values():
            print_forecast(run_plan, as_json, pace)
        return
    write_sweep(sweep, folder)
    _print_summary(folder, _execute_all(plans), as_json)


def _plan_all(
    folder: Path,
    axes: dict[str, list[Any]],
    run_config: RunConfig,
    plan: Callable[[Recipe, Path, Path], RunPlan],
) -> tuple[Sweep, dict[str, RunPlan]]:
    """The sweep, and the plan of every run by the name of its folder.

    Raises:
        PiebenchError: a run cannot be planned; the message names it.
    """
    from piebench_eval.demo.benchmark import embedded_benchmark
    from piebench_eval.recipes.sweep import RUN_AXIS, folder_name, plan_sweep
    from piebench_eval.runs.store.folder import plugins_of_run
    from piebench_eval.runs.store.paths import BENCHMARK_FOLDER
    from piebench_eval.runs.store.sweep_folder import check_sweep_folder

    def build(settings: dict[str, Any]) -> Recipe:
        return run_config.build(settings, plugins_of_run(folder / folder_name(settings)))[0]

    source = str(run_config.config) if RUN_AXIS in axes else "--sweep"
    sweep, recipes = plan_sweep(axes, run_config.settings, build, source)
    check_sweep_folder(sweep, folder)
    _, benchmark = run_config.build(sweep.runs[0].settings)
    benchmark = benchmark or embedded_benchmark(folder / BENCHMARK_FOLDER)
    plans = {}
    for run, recipe in zip(sweep.runs, recipes, strict=True):
        try:
            plans[run.folder] = plan(recipe, benchmark, folder / run.folder)
        except PiebenchError as error:
            raise PiebenchError(f"run {run.folder}: {error}") from None
    return sweep, plans


def _execute_all(plans: Mapping[str, RunPlan]) -> dict[str, RunSummary]:
    """Execute runs, those of one model together: the time left can then be told for them."""
    from piebench_eval.models.device_errors import release_memory

    groups: dict[Any, dict[str, RunPlan]] = {}
    for name, plan in plans.items():
        groups.setdefault(_models(plan), {})[name] = plan
    summaries, number = {}, 0
    for group in groups.values():
        for place, (name, plan) in enumerate(group.items(), 1):
            number += 1
            after = tuple(group.values())[place:]
            of_all = "of all runs" if len(groups) == 1 else f"of all {len(group)} runs with this model"
            left = f"; the time left is that {of_all}" if after else ""
            err.print(f"run {number} of {len(plans)}: {name}{left}", markup=False)
            summaries[name] = execute_with_progress(replace(plan, after=after))
            if number < len(plans):
                release_memory()  # of this run's model: the next one loads its own
    return summaries


def _models(plan: RunPlan) -> Any:
    """The models of a run, with their precision and weights: runs that share them go on at the same pace."""
    from piebench_eval.runs.jobs import model_specs

    return frozenset(
        (model.name, model.revision, model.precision, model.weights) for model in model_specs(plan.recipe)
    )


def _print_summary(folder: Path, summaries: Mapping[str, RunSummary], as_json: bool) -> None:
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
