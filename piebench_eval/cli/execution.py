"""Execute a plan with a progress bar and warnings; an interrupt keeps finished edits."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from piebench_eval.api.progress import shown_run
from piebench_eval.cli.console import counted, err, kept_on_interrupt, print_warning
from piebench_eval.demo.embedded import NOTICE, is_embedded

if TYPE_CHECKING:
    from piebench_eval.runs.execute import Progress, RunSummary
    from piebench_eval.runs.plan import RunPlan

_STOP_SIGNALS = ("SIGTERM", "SIGUSR1")
"""Besides Ctrl-C: sent by schedulers before they kill a job (Slurm: --signal=USR1@60); Windows lacks some."""


def execute_with_progress(plan: RunPlan) -> RunSummary:
    """Execute a plan under a progress bar; a signal ends the command and keeps finished edits."""
    from piebench_eval.runs.execute import execute_run
    from piebench_eval.runs.jobs import model_specs

    if any(is_embedded(model.name) for model in model_specs(plan.recipe)):
        err.print(NOTICE)
    samples, pairs = counted(len(plan.samples), "sample"), counted(len(plan.recipe.pairs), "combination")
    err.print(
        f"{samples} x {pairs} -> {plan.out}" + (f", shard {plan.shard}" if plan.shard.count > 1 else ""),
        markup=False,
    )
    for name in _STOP_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    kept = f"finished edits are kept in {plan.out}: run the same command again to resume"
    with kept_on_interrupt(kept), shown_run() as update_bar:

        def show(progress: Progress) -> None:
            update_bar(progress)
            if progress.warning is not None:
                print_warning(progress.warning)

        summary = execute_run(plan, show)
    for sample_id, notes in summary.notes.items():
        for note in notes:
            print_warning(f"{sample_id}: {note}")
    return summary
