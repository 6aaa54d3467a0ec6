"""``piebench run --sweep``: every point of a grid, one run after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from piebench_eval.cli.console import err, next_command, out
from piebench_eval.cli.forecast import print_forecast
from piebench_eval.cli.work import work_through

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from piebench_eval.recipes.recipe import Recipe
    from piebench_eval.recipes.run_config import RunConfig
    from piebench_eval.runs.execute import RunSummary
    from piebench_eval.runs.plan import RunPlan


def run_points(
    folder: Path,
    axes: dict[str, list[Any]],
    request: RunConfig,
    plan: Callable[[Recipe, Path, Path], RunPlan],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run every point of a grid, one after the other; all are checked before the first begins.

    Args:
        folder: where the points' run folders go.
        axes: the values of each swept key.
        request: what is to be run at every point.
        plan: makes a plan of a recipe, a benchmark and a run folder.
        dry_run: print what each point costs; edit nothing.
        as_json: print the summary as JSON.

    Raises:
        PiebenchError: anything that would make a point fail or mix results.
    """
    from piebench_eval.demo.benchmark import embedded_benchmark
    from piebench_eval.recipes.sweep import folder_name, plan_sweep
    from piebench_eval.runs.store.folder import plugins_of_run
    from piebench_eval.runs.store.paths import BENCHMARK_FOLDER
    from piebench_eval.runs.store.sweep_folder import check_sweep_folder, write_sweep

    def build(settings: dict[str, Any]) -> Recipe:
        return request.build(settings, plugins_of_run(folder / folder_name(settings)))[0]

    sweep, recipes = plan_sweep(axes, request.fixed, build)
    check_sweep_folder(sweep, folder)
    _, benchmark = request.build(sweep.runs[0].settings)
    benchmark = benchmark or embedded_benchmark(folder / BENCHMARK_FOLDER)
    plans = [
        plan(recipe, benchmark, folder / point.folder)
        for point, recipe in zip(sweep.runs, recipes, strict=True)
    ]
    if dry_run:
        for of_point in plans:
            print_forecast(of_point, as_json)
        return
    write_sweep(sweep, folder)
    summaries = {}
    for number, (point, of_point) in enumerate(zip(sweep.runs, plans, strict=True), 1):
        after = tuple(plans[number:])
        left = "; the time left is that of all points" if after else ""
        err.print(f"point {number} of {len(plans)}: {point.folder}{left}", markup=False)
        summaries[point.folder] = work_through(replace(of_point, after=after))
    _print_summary(folder, summaries, as_json)


def _print_summary(folder: Path, summaries: dict[str, RunSummary], as_json: bool) -> None:
    failed = [name for name, summary in summaries.items() if summary.failed]
    if as_json:
        points = [{"folder": name, **vars(summary)} for name, summary in summaries.items()]
        out.print_json(data={"out": str(folder), "points": points})
    else:
        made, found = (sum(getattr(s, what) for s in summaries.values()) for what in ("made", "found"))
        out.print(f"{len(summaries)} points: {made} edits made, {found} were there already.", markup=False)
    for name in failed:
        err.print(f"failed edits in {name}: {next_command('status', folder / name)}", markup=False)
    if failed:
        raise typer.Exit(1)
    if not as_json:
        out.print(f"Next: {next_command('sweep', folder)}", markup=False)
