"""``piebench run --dry-run``: the plan and what it will cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from piebench_eval.api.duration import duration
from piebench_eval.cli.console import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.runs.forecast import Forecast
    from piebench_eval.runs.plan import RunPlan


def print_forecast(plan: RunPlan, as_json: bool) -> None:
    """Print what a plan comes to; nothing is loaded or edited."""
    from piebench_eval.runs.engines.choice import count_workers
    from piebench_eval.runs.forecast import forecast

    scan = plan.scan()
    found = forecast(plan.recipe, plan.samples, scan)
    workers = count_workers(plan.workers)
    if as_json:
        parts = [asdict(part) for part in found]
        shard = str(plan.shard)
        out.print_json(data={"out": str(plan.out), "shard": shard, "workers": workers, "plan": parts})
        return
    out.print(f"{len(plan.samples)} samples x {len(found)} combinations -> {plan.out}", markup=False)
    _print_grid(found)
    for problem in scan.problems:
        out.print(f"- {problem}", markup=False)
    _print_time(found, workers * plan.shard.count)


def _print_grid(found: Sequence[Forecast]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_footer=len(found) > 1)
    grid.add_column("combination", "all")
    for title, total in (
        ("done", sum(part.done for part in found)),
        ("failed", sum(part.failed for part in found)),
        ("missing", sum(part.missing for part in found)),
        ("rows\nper edit", ""),
        ("of these\nshared", ""),
        ("the paper's\nscripts", ""),
        ("rows to\ncompute", sum(part.rows_to_compute for part in found)),
    ):
        grid.add_column(title, str(total), justify="right")
    for part in found:
        rows = (
            _rows(part.rows_forward, part.rows_backward),
            f"{part.rows_shared:.0f}",
            _rows(part.reference_forward, part.reference_backward),
        )
        counts = (part.done, part.failed, part.missing, *rows, part.rows_to_compute)
        grid.add_row(part.combination, *map(str, counts))
    out.print(grid)
    out.print(
        "Rows of the UNet: forward + backward, an optimisation's at most. Shared ones are computed once, by "
        "the first combination that needs them. The paper's scripts: what the reference implementation "
        "spends on an edit."
    )


def _rows(forward: float | None, backward: float | None) -> str:
    if forward is None:
        return ""
    return f"{forward:.0f} + {backward:.0f}" if backward else f"{forward:.0f}"


def _print_time(found: Sequence[Forecast], workers: int) -> None:
    left = [part for part in found if part.missing]
    if not left:
        out.print("Nothing is missing.")
    elif any(part.seconds is None for part in left):
        out.print("No time can be told before the first edits: try --limit 2, then --dry-run again.")
    else:
        seconds = sum(part.seconds or 0 for part in left)
        by = f" by {workers} workers" if workers > 1 else ""
        out.print(f"By the pace of this run's records: {duration(seconds / workers)}{by}.")
