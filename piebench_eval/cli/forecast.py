"""``piebench run --dry-run``: the plan and its forecast cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import out, print_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.runs.feature_room import FeatureNeed
    from piebench_eval.runs.forecast import Forecast
    from piebench_eval.runs.jobs import ModelSpec
    from piebench_eval.runs.plan import RunPlan

_JSON_NAMES = {
    "nfe_forward": "rows_forward",
    "nfe_backward": "rows_backward",
    "nfe_reused": "rows_shared",
    "nfe_to_compute": "rows_to_compute",
}
"""Keys of the JSON that differ from the fields of ``Forecast``."""

_PLACES = {"device": "on the GPU", "host": "in the host's memory", "disk": "on disk"}


def print_forecast(plan: RunPlan, as_json: bool) -> None:
    """Print a plan and its cost; no model is loaded, nothing is edited."""
    from piebench_eval.runs.engines.choice import count_workers
    from piebench_eval.runs.forecast import forecast
    from piebench_eval.runs.jobs import model_specs

    models = model_specs(plan.recipe)
    for model in models:
        _warn_of_unknown(model)
    scan = plan.scan()
    found = forecast(plan.recipe, plan.samples, scan)
    workers = count_workers(plan.machine)
    features = {need.combination: need for need in plan.features}
    if as_json:
        parts = [_for_json(part, features.get(part.combination)) for part in found]
        shard = str(plan.shard)
        out.print_json(data={"out": str(plan.out), "shard": shard, "workers": workers, "plan": parts})
        return
    out.print(f"{len(plan.samples)} samples x {len(found)} combinations -> {plan.out}", markup=False)
    _print_grid(found)
    for told in filter(None, map(_counted_by_name, models)):
        out.print(f"- {told}", markup=False)
    for need in plan.features:
        out.print(_features_line(need), markup=False)
    for problem in scan.problems:
        out.print(f"- {problem}", markup=False)
    _print_time(found, workers * plan.shard.count)


def _warn_of_unknown(model: ModelSpec) -> None:
    """Warn of a model whose family nothing tells."""
    from piebench_eval.models.families import FAMILIES
    from piebench_eval.models.location import find_family, known_family

    if known_family(model.name, model.revision, model.family) is None:
        counted_as = find_family(model.name, model.revision).title
        print_warning(
            f"--model {model.name}: is not on this machine, and counted as {counted_as}; --set "
            f"family=NAME says what it is, one of {', '.join(FAMILIES)}"
        )


def _counted_by_name(model: ModelSpec) -> str | None:
    """Where a well-known name alone tells a model's family: which one is counted."""
    from piebench_eval.models.location import is_on_this_machine, known_family

    if model.family != "auto" or is_on_this_machine(model.name, model.revision):
        return None
    if (family := known_family(model.name, model.revision)) is None:
        return None
    return f"--model {model.name}: is not on this machine, and counted as {family.title} by its name"


def _for_json(part: Forecast, need: FeatureNeed | None) -> dict[str, Any]:
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


def _features_line(need: FeatureNeed) -> str:
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


def _print_time(found: Sequence[Forecast], workers: int) -> None:
    left = [part for part in found if part.missing]
    if not left:
        out.print("Nothing is missing.")
    elif any(part.seconds is None for part in left):
        out.print("The time is unknown before the first edits: try --limit 2, then --dry-run again.")
    else:
        seconds = sum(part.seconds or 0 for part in left)
        by = f" by {workers} workers" if workers > 1 else ""
        out.print(f"By the pace of this run's records: {duration(seconds / workers)}{by}.")
