"""``piebench run --dry-run``: the plan and its forecast cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import out, print_warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from piebench_eval.runs.forecast import Forecast
    from piebench_eval.runs.plan import RunPlan

_JSON_NAMES = {
    "nfe_forward": "rows_forward",
    "nfe_backward": "rows_backward",
    "nfe_reused": "rows_shared",
    "nfe_to_compute": "rows_to_compute",
    "nfe_source": "rows_source",
}
"""Keys of the JSON that differ from the fields of ``Forecast``."""


def print_forecast(plan: RunPlan, as_json: bool, pace: Path | None = None) -> None:
    """Print a plan and its cost; no model is loaded, nothing is edited.

    Args:
        plan: the plan.
        as_json: print JSON.
        pace: a file or folder of the bench, for the time before the first edits; see ``read_paces``.

    Raises:
        PiebenchError: ``pace`` cannot be read.
    """
    from piebench_eval.runs.engines.choice import count_workers
    from piebench_eval.runs.forecast import forecast

    warn_of_unknown_models([plan])
    scan = plan.scan()
    found = forecast(plan.recipe, plan.samples, scan)
    workers = count_workers(plan.machine)
    if as_json:
        parts = [for_json(part) for part in found]
        shard = str(plan.shard)
        out.print_json(data={"out": str(plan.out), "shard": shard, "workers": workers, "plan": parts})
        return
    out.print(f"{len(plan.samples)} samples x {len(found)} combinations -> {plan.out}", markup=False)
    _print_grid(found)
    for problem in scan.problems:
        out.print(f"- {problem}", markup=False)
    _print_time(plan, found, pace)


def warn_of_unknown_models(plans: Iterable[RunPlan]) -> None:
    """Warn of models of which nothing is on this machine, once each: their family is a guess."""
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.models.location import find_family, known_family
    from piebench_eval.runs.jobs import model_specs

    for name, revision, family in dict.fromkeys(
        (model.name, model.revision, model.family) for plan in plans for model in model_specs(plan.recipe)
    ):
        if known_family(name, revision, family) is None:
            counted_as = find_family(name, revision).title
            print_warning(
                f"--model {name}: is not on this machine, and counted as {counted_as}; --set "
                f"family=NAME says what it is, one of {', '.join(FAMILIES)}"
            )


def for_json(part: Forecast) -> dict[str, Any]:
    """The forecast of a combination as printed by ``--json``."""
    return {_JSON_NAMES.get(name, name): value for name, value in asdict(part).items()}


def _print_grid(found: Sequence[Forecast]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_footer=len(found) > 1)
    grid.add_column("combination", "all")
    for title, total in (
        ("done", sum(part.done for part in found)),
        ("failed", sum(part.failed for part in found)),
        ("missing", sum(part.missing for part in found)),
        ("NFE\nper edit", ""),
        ("of these\nshared", ""),
        ("NFE\nto compute", sum(part.nfe_to_compute for part in found)),
    ):
        grid.add_column(title, str(total), justify="right")
    for part in found:
        backward = f" + {part.nfe_backward:.0f}" if part.nfe_backward else ""
        per_edit = f"{part.nfe_forward:.0f}{backward}"
        shared = f"{part.nfe_reused:.0f}"
        counts = (part.done, part.failed, part.missing, per_edit, shared, part.nfe_to_compute)
        grid.add_row(part.combination, *map(str, counts))
    out.print(grid)
    out.print(
        "NFE: model evaluations, forward + backward, in rows of a batch; the maximum if an optimisation can "
        "stop early. Shared ones are computed once, by the first combination that needs them."
    )


def _print_time(plan: RunPlan, found: Sequence[Forecast], pace: Path | None) -> None:
    from piebench_eval.runs.engines.choice import count_workers
    from piebench_eval.runs.estimates.measured_pace import device_at_hand, read_paces, time_of

    paces = read_paces(pace)
    device = device_at_hand(plan.machine) if paces else None
    times = [time_of(plan, part, paces, device) for part in found if part.missing]
    if not times:
        out.print("Nothing is missing.")
    elif any(time.seconds is None for time in times):
        out.print("The time is unknown before the first edits: try --limit 2, then --dry-run again.")
        for unknown in dict.fromkeys(time.unknown for time in times if pace is not None and time.unknown):
            out.print(f"--pace {pace}: has none of {device} for {unknown}", markup=False)
    else:
        workers = count_workers(plan.machine) * plan.shard.count
        by = f" by {workers} workers" if workers > 1 else ""
        is_measured = any(time.source == "bench" for time in times)
        whose = f"the bench on {device}" if is_measured else "this run's records"
        seconds = sum(time.seconds or 0 for time in times)
        out.print(f"By the pace of {whose}: {duration(seconds)}{by}.", markup=False)
        for note in dict.fromkeys(time.note for time in times if time.note):
            out.print(f"- {note}", markup=False)
