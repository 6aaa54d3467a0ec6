"""``piebench run --dry-run`` with a recipe that names runs: one table of them all, with the hours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import counted, out
from piebench_eval.cli.forecast import features_line, for_json, model_notes
from piebench_eval.cli.grid import print_names_and_marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from piebench_eval.runs.estimates.measured_pace import ForecastTime, MeasuredPace
    from piebench_eval.runs.feature_room import FeatureNeed
    from piebench_eval.runs.forecast import Forecast
    from piebench_eval.runs.plan import RunPlan


@dataclass(frozen=True)
class _Row:
    """A combination of a run: the run's name, the cost, the time of the missing edits, the features kept."""

    run: str
    forecast: Forecast
    time: ForecastTime
    features: FeatureNeed | None


def print_runs_forecast(plans: Mapping[str, RunPlan], folder: Path, pace: Path | None, as_json: bool) -> None:
    """Print what runs cost, in one table; no model is loaded, nothing is edited.

    Args:
        plans: the runs by their names.
        folder: the folder of the run folders.
        pace: see ``read_paces``.
        as_json: print JSON.

    Raises:
        PiebenchError: ``pace`` cannot be read.
    """
    from piebench_eval.runs.estimates.measured_pace import device_at_hand, read_paces

    notes = model_notes(plans.values())
    first = next(iter(plans.values()))
    paces, device = read_paces(pace), device_at_hand(first.machine)
    rows = [row for name, plan in plans.items() for row in _rows(name, plan, paces, device)]
    if as_json:
        runs = [{"run": row.run, **for_json(row.forecast, row.features), **asdict(row.time)} for row in rows]
        out.print_json(data={"out": str(folder), "device": device, "plan": runs})
        return
    counts = counted(len(plans), "run"), counted(len(first.samples), "sample")
    out.print(f"{' of '.join(counts)} -> {folder}", markup=False)
    _print_table(rows)
    for note in notes:
        out.print(f"- {note}", markup=False)
    for row in rows:
        if row.features is not None:
            out.print(f"{row.run}: {features_line(row.features)}", markup=False)
    _print_time(rows, device)


def _rows(name: str, plan: RunPlan, paces: Sequence[MeasuredPace], device: str | None) -> list[_Row]:
    from piebench_eval.runs.estimates.measured_pace import time_of
    from piebench_eval.runs.forecast import forecast

    parts = forecast(plan.recipe, plan.samples, plan.scan())
    features = {need.combination: need for need in plan.features}
    return [
        _Row(name, part, time_of(plan, part, paces, device), features.get(part.combination)) for part in parts
    ]


def _print_table(rows: Sequence[_Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_footer=True)
    total = sum(row.forecast.nfe_to_compute for row in rows)
    hours = (
        None if any(row.time.seconds is None for row in rows) else sum(row.time.seconds or 0 for row in rows)
    )
    table.add_column("run", "all")
    table.add_column("combination")
    for title, footer in (
        ("missing\nedits", sum(row.forecast.missing for row in rows)),
        ("NFE: source\nper picture", ""),
        ("each\ntarget", ""),
        ("NFE\nto compute", total),
        ("time", "" if hours is None else duration(hours)),
    ):
        table.add_column(title, str(footer), justify="right")
    for row in rows:
        part = row.forecast
        target = part.nfe_forward + part.nfe_backward - part.nfe_source
        time = "unknown" if row.time.seconds is None else duration(row.time.seconds)
        cells: tuple[Any, ...] = (
            part.missing,
            f"{part.nfe_source:.0f}",
            f"{target:.0f}",
            part.nfe_to_compute,
        )
        table.add_row(row.run, part.combination, *map(str, cells), time)
    print_names_and_marks(table)
    out.print(
        "NFE: model evaluations, in rows of a batch; the maximum if an optimisation can stop early. Those of "
        "the source are computed once for all target prompts of a picture; where a method reads the "
        "inversion's features, it is inverted for each of them."
    )


def _print_time(rows: Sequence[_Row], device: str | None) -> None:
    """Say where the times are from, and how the unknown ones can be known."""
    sources = {row.time.source for row in rows if row.time.source}
    named = {"records": "the pace of a run's own records", "bench": f"the bench on {device}"}
    if sources:
        out.print(f"Times: by {' or '.join(named[source] for source in sorted(sources))}.", markup=False)
    for note in dict.fromkeys(row.time.note for row in rows if row.time.note):
        out.print(f"- {note}", markup=False)
    if unknown := list(dict.fromkeys(row.time.unknown for row in rows if row.time.unknown)):
        out.print(
            f"Times that are unknown: of no edit yet, and no pace was measured on {device or 'the cluster'}. "
            "The same command with --limit 2 and without --dry-run measures it, and so does the bench, which "
            "needs no weights: in a clone of the repository, with FILE then given by --pace:",
            markup=False,
        )
        for line in unknown:
            out.print(f"- {line}", markup=False)
