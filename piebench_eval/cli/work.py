"""Executing a plan in front of a user: progress bar, warnings, and an end that loses nothing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from piebench_eval.api.progress import shown_run
from piebench_eval.cli.console import err, kept_on_interrupt, print_warning
from piebench_eval.demo.embedded import DEMO, NOTICE

if TYPE_CHECKING:
    from piebench_eval.runs.execute import Progress, RunSummary
    from piebench_eval.runs.plan import RunPlan

_STOP_SIGNALS = ("SIGTERM", "SIGUSR1")
"""Besides Ctrl-C: what job schedulers send before they kill (Slurm: --signal=USR1@60); Windows lacks some."""


def work_through(plan: RunPlan) -> RunSummary:
    """Make a plan's edits under a progress bar; on a signal, end the command with what is finished."""
    from piebench_eval.runs.execute import execute_run
    from piebench_eval.runs.jobs import models_of

    if any(model.name == DEMO for model in models_of(plan.recipe)):
        err.print(NOTICE)
    err.print(
        f"{len(plan.samples)} samples x {len(plan.recipe.pairs)} combinations -> {plan.out}"
        + (f", shard {plan.shard}" if plan.shard.count > 1 else ""),
        markup=False,
    )
    for name in _STOP_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    kept = f"finished edits are kept in {plan.out}: run the same command again to go on"
    with kept_on_interrupt(kept), shown_run() as tell:

        def show(progress: Progress) -> None:
            tell(progress)
            if progress.warning is not None:
                print_warning(progress.warning)

        summary = execute_run(plan, show)
    for sample_id, notes in summary.notes.items():
        for note in notes:
            print_warning(f"{sample_id}: {note}")
    return summary
