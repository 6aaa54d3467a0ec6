"""``piebench run --dry-run``: the plan and its forecast cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import counted, out, print_warning
from piebench_eval.cli.grid import print_names_and_marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from piebench_eval.runs.estimates.measured_pace import MeasuredPace
    from piebench_eval.runs.feature_room import FeatureNeed
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

_PLACES = {"device": "on the GPU", "host": "in the host's memory", "disk": "on disk"}


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
    from piebench_eval.runs.estimates.measured_pace import read_paces
    from piebench_eval.runs.forecast import forecast

    paces = read_paces(pace)
    notes = model_notes([plan])
    scan = plan.scan()
    found = forecast(plan.recipe, plan.samples, scan)
    workers = count_workers(plan.machine)
    features = {need.combination: need for need in plan.features}
    if as_json:
        parts = [for_json(part, features.get(part.combination)) for part in found]
        shard = str(plan.shard)
        out.print_json(data={"out": str(plan.out), "shard": shard, "workers": workers, "plan": parts})
        return
    samples, pairs = counted(len(plan.samples), "sample"), counted(len(found), "combination")
    out.print(f"{samples} x {pairs} -> {plan.out}", markup=False)
    _print_grid(found)
    for need in plan.features:
        out.print(features_line(need), markup=False)
    for problem in [*notes, *scan.problems]:
        out.print(f"- {problem}", markup=False)
    _print_time(plan, found, paces, pace)


def model_notes(plans: Iterable[RunPlan]) -> list[str]:
    """What the models are counted as of which nothing is on this machine but whose names are well known.

    Of any other model that is not here the family is a guess, which is warned of.
    """
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.models.location import find_family, is_on_this_machine, known_family
    from piebench_eval.runs.jobs import model_specs

    notes = []
    for name, revision, family in dict.fromkeys(
        (model.name, model.revision, model.family) for plan in plans for model in model_specs(plan.recipe)
    ):
        if family != "auto" or is_on_this_machine(name, revision):
            continue
        told = f"--model {name}: is not on this machine, and counted as {find_family(name, revision).title}"
        if known_family(name, revision) is None:
            print_warning(f"{told}; --set family=NAME says what it is, one of {', '.join(FAMILIES)}")
        else:
            notes.append(f"{told} by its name")
    return notes


def for_json(part: Forecast, need: FeatureNeed | None) -> dict[str, Any]:
    """The forecast of a combination as printed by ``--json``."""
    forecast = {_JSON_NAMES.get(name, name): value for name, value in asdict(part).items()}
    if need is None:
        return forecast
    features = {
        "size": need.size,
        "evaluations": need.evaluations,
        "bytes_per_evaluation": need.bytes_per_evaluation,
        "bytes_per_picture": need.bytes_per_picture,
        "places": None if need.room is None else need.room.split(need.bytes_per_picture),
        "largest_batch": need.largest_batch,
    }
    return {**forecast, "features": features}


def features_line(need: FeatureNeed) -> str:
    """What a combination keeps of the largest picture's inversion, and where."""
    from piebench_eval.data.images import size_text
    from piebench_eval.diffusion.feature_limits import bytes_text

    whole = bytes_text(need.bytes_per_picture)
    kept = (
        f"{need.combination} keeps {whole} of an inversion's features per picture of {size_text(need.size)}: "
        f"{need.parts_text}"
    )
    split = {} if need.room is None else need.room.split(need.bytes_per_picture)
    lying = [f"{bytes_text(count)} {_PLACES[place]}" for place, count in split.items() if count]
    return f"{kept}; of one picture, {' and '.join(lying)}." if lying else f"{kept}."


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
        ("oper-\nations", ""),
        ("NFE\nto compute", sum(part.nfe_to_compute for part in found)),
    ):
        grid.add_column(title, str(total), justify="right")
    for part in found:
        backward = f" + {part.nfe_backward:.0f}" if part.nfe_backward else ""
        per_edit = f"{part.nfe_forward:.0f}{backward}"
        shared = f"{part.nfe_reused:.0f}"
        operations = "?" if part.operations is None else f"{part.operations:.0%}"
        counts = (part.done, part.failed, part.missing, per_edit, shared, operations, part.nfe_to_compute)
        grid.add_row(part.combination, *map(str, counts))
    print_names_and_marks(grid)
    out.print(
        "NFE: model evaluations, forward + backward, in rows of a batch; the maximum if an optimisation can "
        "stop early. Shared ones are computed once, by the first combination that needs them, for the first "
        "of a picture's targets. Operations: the share of theirs that is computed, since a row ends behind "
        "the last layer that is read of it."
    )


def _print_time(
    plan: RunPlan, found: Sequence[Forecast], paces: Sequence[MeasuredPace], pace: Path | None
) -> None:
    from piebench_eval.runs.engines.choice import count_workers
    from piebench_eval.runs.estimates.measured_pace import device_at_hand, time_of

    device = device_at_hand(plan.machine) if paces else None
    times = [time_of(plan, part, paces, device) for part in found if part.missing]
    if not times:
        out.print("Nothing is missing.")
    elif any(time.seconds is None for time in times):
        measured = "" if pace else ", or give a pace that scripts/bench.py has measured by --pace"
        out.print(
            f"The time is unknown before the first edits: try --limit 2, then --dry-run again{measured}."
        )
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
