"""How long a session will take, by the pace of its workers and by what the edits to come cost."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from piebench_eval.runs.progress.pace import Pace, joint_speed
from piebench_eval.runs.progress.planned_rows import PlannedRows
from piebench_eval.runs.progress.row_costs import RowCosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from piebench_eval.runs.jobs import Job
    from piebench_eval.runs.plan import RunPlan
    from piebench_eval.runs.store.records import EditKey, Outcome

_WORTH_COUNTING = 60.0
"""Seconds left from which the rows of combinations without an edit yet are counted."""


class WorkerPace:
    """One worker's pace, in edits and in UNet rows."""

    def __init__(self) -> None:
        self.edits, self.rows = Pace(), Pace()

    def add(self, record: Mapping[str, Any], rows: float) -> None:
        """Take note of an edit.

        Args:
            record: the edit's.
            rows: what it has cost.
        """
        at = datetime.fromisoformat(record["finished"]).timestamp()
        seconds = record.get("seconds", 0.0) * record.get("batch_size", 1)
        self.edits.add(at, 1, seconds)
        self.rows.add(at, rows, seconds)


class TimeLeft:
    """The time that a session's edits will take, and those of the runs after it in the same command.

    Edits of a batch are finished together and cost differently by combination; the time comes from the UNet
    rows that are left, and from those that each worker has computed between its batches.
    """

    def __init__(self, plan: RunPlan, jobs: Iterable[Job], done: Mapping[EditKey, dict[str, Any]]):
        """Args: plan: the session's. jobs: what it has to do. done: records of what was done before."""
        self._left: dict[str, Fraction] = {}
        self._shares: dict[EditKey, Fraction] = {}
        for job in jobs:
            # A batch is computed whole, however few of its edits are missing.
            self._left[job.name] = self._left.get(job.name, Fraction(0)) + len(job.samples)
            share = Fraction(len(job.samples), len(job.wanted))
            self._shares |= {job.key(sample): share for sample in job.wanted}
        self._costs = RowCosts()
        for key, record in done.items():
            self._costs.take(key.combination, record)
        self._later = [_edits_of(later) for later in plan.after]
        recipes = [plan.recipe, *(later.recipe for later in plan.after)]
        self._planned = PlannedRows(plan.out, recipes, plan.samples[0]) if plan.samples else None
        self._paces: dict[str, WorkerPace] = {}
        self._workers: set[str] = set()
        self._is_told = False

    @property
    def per_minute(self) -> float | None:
        """Edits per minute, of all workers; None if that cannot be told yet."""
        speed = joint_speed([pace.edits for pace in self._paces.values()], len(self._workers))
        return None if speed is None else speed * 60

    def begin(self, worker: str) -> None:
        """A worker is ready."""
        self._workers.add(worker)

    def lose(self, worker: str) -> None:
        """A worker has died, and no other takes its place."""
        self._workers.discard(worker)

    def take(self, outcome: Outcome) -> None:
        """An edit was made or has failed."""
        combination = outcome.key.combination
        share = self._shares.pop(outcome.key, Fraction(0))
        self._left[combination] = self._left.get(combination, Fraction(0)) - share
        if not outcome.failed:
            rows = self._costs.take(combination, outcome.record)
            if outcome.worker:
                pace = self._paces.setdefault(outcome.worker, WorkerPace())
                pace.add(outcome.record, float(rows * share))

    def seconds(self) -> float | None:
        """How long it will take from the newest edit on; None if that cannot be told yet."""
        speed = joint_speed([pace.rows for pace in self._paces.values()], len(self._workers))
        if speed is None:
            return None
        seconds = self._rows([self._costs] * len(self._later)) / speed
        if seconds < _WORTH_COUNTING or self._planned is None or self._knows_all():
            return seconds
        if (found := self._planned.get()) is None:
            return None  # better none for some seconds than one that takes all combinations to be alike
        if found:
            self._costs.planned = found[0]
        later = [RowCosts(planned) for planned in found[1:]] or [self._costs] * len(self._later)
        return self._rows(later) / speed

    def newly_planned(self) -> dict[str, float] | None:
        """The plan's rows per edit by combination, once, when they are known."""
        if self._is_told or not self._costs.planned:
            return None
        self._is_told = True
        return self._costs.planned

    def close(self) -> None:
        """The session has ended."""
        if self._planned is not None:
            self._planned.close()

    def _knows_all(self) -> bool:
        return not self._later and all(
            self._costs.is_known(combination) for combination, count in self._left.items() if count > 0
        )

    def _rows(self, costs_later: Sequence[RowCosts]) -> float:
        """UNet rows that are left, of this run and of those after it."""
        later = zip(costs_later, self._later, strict=True)
        return self._costs.total(self._left) + sum(costs.total(edits) for costs, edits in later)


def _edits_of(plan: RunPlan) -> Counter[str]:
    """Edits that a run has to make, by combination; shards make equal parts."""
    scan = plan.scan()
    wanted = [*scan.missing, *(scan.failed if plan.retry_failed else ())]
    counts = Counter(key.combination for key in wanted)
    return Counter({name: count // plan.shard.count for name, count in counts.items()})
