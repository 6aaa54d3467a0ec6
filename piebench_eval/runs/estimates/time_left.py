"""Time left of a session, by the pace of its workers and the cost of the missing edits."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from piebench_eval.runs.estimates.edit_costs import EditCosts
from piebench_eval.runs.estimates.evaluation_forecaster import EvaluationForecaster
from piebench_eval.runs.estimates.pace import Pace, joint_speed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from piebench_eval.runs.jobs import Job
    from piebench_eval.runs.plan import RunPlan
    from piebench_eval.runs.store.records import EditKey, Outcome

_WORTH_COUNTING = 60.0
"""Sessions longer than this, in seconds, count the evaluations of combinations without an edit yet."""


class WorkerPace:
    """One worker's pace, in edits and in model evaluations."""

    def __init__(self) -> None:
        self.edits, self.evaluations = Pace(), Pace()

    def add(self, record: Mapping[str, Any], evaluations: float) -> None:
        """Add a finished edit.

        Args:
            record: its record.
            evaluations: its cost, in rows of a batch.
        """
        at = datetime.fromisoformat(record["finished"]).timestamp()
        seconds = record.get("seconds", 0.0) * record.get("batch_size", 1)
        self.edits.add(at, 1, seconds)
        self.evaluations.add(at, evaluations, seconds)


class TimeLeft:
    """Time left of a session and of the runs after it in the same command.

    Edits of a batch are finished together, and their cost depends on the combination. The time is therefore
    that of the model evaluations that are left, by those that each worker has done between its batches.
    """

    def __init__(self, plan: RunPlan, jobs: Iterable[Job], done: Mapping[EditKey, dict[str, Any]]):
        """Args: plan: the plan of the session. jobs: its jobs. done: records of the edits that are done."""
        self._left: dict[str, Fraction] = {}
        self._shares: dict[EditKey, Fraction] = {}
        for job in jobs:
            # A batch is computed whole, even if few of its edits are missing.
            self._left[job.name] = self._left.get(job.name, Fraction(0)) + len(job.samples)
            share = Fraction(len(job.samples), len(job.wanted))
            self._shares |= {job.key(sample): share for sample in job.wanted}
        self._costs = EditCosts()
        for key, record in done.items():
            self._costs.add(key.combination, record)
        self._later = [_edits_of(later) for later in plan.after]
        recipes = [plan.recipe, *(later.recipe for later in plan.after)]
        self._forecaster = EvaluationForecaster(plan.out, recipes, plan.samples[0]) if plan.samples else None
        self._paces: dict[str, WorkerPace] = {}
        self._workers: set[str] = set()
        self._is_forecast_reported = False

    @property
    def per_minute(self) -> float | None:
        """Edits per minute, of all workers; None if unknown yet."""
        speed = joint_speed([pace.edits for pace in self._paces.values()], len(self._workers))
        return None if speed is None else speed * 60

    def add_worker(self, worker: str) -> None:
        """Note that a worker is ready."""
        self._workers.add(worker)

    def remove_worker(self, worker: str) -> None:
        """Note that a worker has died and is not replaced."""
        self._workers.discard(worker)

    def add_outcome(self, outcome: Outcome) -> None:
        """Note that an edit was made or has failed."""
        combination = outcome.key.combination
        share = self._shares.pop(outcome.key, Fraction(0))
        self._left[combination] = self._left.get(combination, Fraction(0)) - share
        if not outcome.failed:
            evaluations = self._costs.add(combination, outcome.record)
            if outcome.worker:
                pace = self._paces.setdefault(outcome.worker, WorkerPace())
                pace.add(outcome.record, float(evaluations * share))

    def seconds(self) -> float | None:
        """Seconds left, from the newest edit on; None if unknown yet."""
        speed = joint_speed([pace.evaluations for pace in self._paces.values()], len(self._workers))
        if speed is None:
            return None
        seconds = self._evaluations([self._costs] * len(self._later)) / speed
        if seconds < _WORTH_COUNTING or self._forecaster is None or self._knows_all():
            return seconds
        if (found := self._forecaster.get()) is None:
            return None  # for some seconds; an estimate that takes all combinations as equal would be wrong
        if found:
            self._costs.planned = found[0]
        later = [EditCosts(planned) for planned in found[1:]] or [self._costs] * len(self._later)
        return self._evaluations(later) / speed

    def new_forecast(self) -> dict[str, float] | None:
        """Evaluations per edit by combination, once, as soon as they are counted."""
        if self._is_forecast_reported or not self._costs.planned:
            return None
        self._is_forecast_reported = True
        return self._costs.planned

    def close(self) -> None:
        """End the session."""
        if self._forecaster is not None:
            self._forecaster.close()

    def _knows_all(self) -> bool:
        return not self._later and all(
            self._costs.is_known(combination) for combination, count in self._left.items() if count > 0
        )

    def _evaluations(self, costs_later: Sequence[EditCosts]) -> float:
        """Model evaluations that are left, of this run and of those after it."""
        later = zip(costs_later, self._later, strict=True)
        return self._costs.total(self._left) + sum(costs.total(edits) for costs, edits in later)


def _edits_of(plan: RunPlan) -> Counter[str]:
    """Number of missing edits of a run by combination; a shard makes its equal part."""
    scan = plan.scan()
    wanted = [*scan.missing, *(scan.failed if plan.retry_failed else ())]
    counts = Counter(key.combination for key in wanted)
    return Counter({name: count // plan.shard.count for name, count in counts.items()})
