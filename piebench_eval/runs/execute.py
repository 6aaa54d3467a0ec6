"""Executing a plan: an engine works, and the session keeps the books."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import remove_stale_partials
from piebench_eval.runs.engines.base import Loaded, Lost
from piebench_eval.runs.engines.choice import choose_engine, largest_batch, settle_devices
from piebench_eval.runs.jobs import plan_units
from piebench_eval.runs.progress.time_left import TimeLeft
from piebench_eval.runs.queue import ATTEMPTS, JobQueue
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.manifest import describe_session
from piebench_eval.runs.store.records import Outcome, RecordLog, failure
from piebench_eval.runs.store.session_log import PLANNED_ROWS, Session, session_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from piebench_eval.runs.jobs import Job, Unit
    from piebench_eval.runs.plan import RunPlan
    from piebench_eval.runs.store.records import EditKey


@dataclass(frozen=True)
class Progress:
    """How far a session is.

    Attributes:
        done: edits of its part of the plan that are finished, those of earlier sessions included.
        failed: edits that have failed.
        total: edits of its part of the plan.
        label: what happened last.
        warning: something that the user should see.
        per_minute: edits per minute lately; None if that cannot be told yet.
        seconds_left: how long the rest will take, with that of the runs after it in the same command;
            likewise.
    """

    done: int
    failed: int
    total: int
    label: str
    warning: str | None = None
    per_minute: float | None = None
    seconds_left: float | None = None


@dataclass
class RunSummary:
    """How a session ended.

    Attributes:
        made: edits made in this session.
        found: edits that earlier sessions had finished.
        failed: what failed, in this session or before and was not tried again: ``COMBINATION ID`` and why.
        notes: what the user should know, by sample id.
    """

    made: int = 0
    found: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


def execute_run(plan: RunPlan, on_progress: Callable[[Progress], None]) -> RunSummary:
    """Work through a plan; every edit is on disk before it is reported.

    Args:
        plan: from ``plan_run``.
        on_progress: called at the start, after each edit, and with each warning.

    Raises:
        PiebenchError: the model cannot be loaded or used, the run folder belongs to something else or cannot
            be written to, or too many edits have failed.
    """
    scan = plan.scan()
    unfinished = scan.missing or (plan.retry_failed and scan.failed)
    devices = settle_devices(plan.workers) if unfinished else ["cpu"]
    batch_size = largest_batch(plan.workers, devices)
    units = plan_units(plan.recipe, plan.samples, batch_size, plan.shard)
    edits = {job.key(sample) for unit in units for job in unit.jobs for sample in job.wanted}
    settled = scan.done if plan.retry_failed else {**scan.done, **scan.failed}
    left = [rest for unit in units if (rest := unit.without(settled)) is not None]
    queue = JobQueue(_failed_last(left, scan.failed) if plan.retry_failed else left)
    time_left = TimeLeft(plan, [job for unit in left for job in unit.jobs], scan.done)
    work = _Work(plan, on_progress, len(edits), found=len(edits & scan.done.keys()), time_left=time_left)
    for problem in scan.problems:
        work.report("checking", warning=problem)
    if not plan.retry_failed:
        for key in edits & scan.failed.keys():
            work.summary.failed[f"{key.combination} {key.sample}"] = str(scan.failed[key]["error"])
    work.report("nothing to do" if queue.is_empty else "loading the model")
    if not queue.is_empty:
        work.through(queue, devices)
    return work.summary


def _failed_last(units: Sequence[Unit], failed: Mapping[EditKey, dict[str, Any]]) -> list[Unit]:
    """Put off what has failed, the newest failure to the end.

    One that ended the last session, and ends this one too, lets everything else be made before.
    """

    def newest(edits: Iterable[EditKey]) -> str:
        return max((str(failed[edit]["finished"]) for edit in edits if edit in failed), default="")

    def of_job(job: Job) -> str:
        return newest(map(job.key, job.wanted))

    in_order = [replace(unit, jobs=tuple(sorted(unit.jobs, key=of_job))) for unit in units]
    return sorted(in_order, key=lambda unit: of_job(unit.jobs[-1]))


class _Work:
    """A session at work: it hears what the engine tells, and keeps the books."""

    def __init__(
        self,
        plan: RunPlan,
        on_progress: Callable[[Progress], None],
        total: int,
        found: int,
        time_left: TimeLeft,
    ):
        self._time_left = time_left
        self.summary = RunSummary(found=found)
        self._plan, self._on_progress, self._total = plan, on_progress, total
        self._failures = 0
        self._devices: dict[str, dict[str, object]] = {}
        self._image_paths = {sample.id: sample.image_path for sample in plan.samples}
        self._session: Session | None = None
        self._store: RunStore | None = None
        self._log: RecordLog | None = None

    def through(self, queue: JobQueue, devices: list[str]) -> None:
        """Have an engine do a queue's jobs.

        Raises:
            PiebenchError: the work cannot go on.
        """
        name = session_name()
        engine = choose_engine(self._plan, name, devices)
        events = engine.work(queue)
        try:
            for event in events:
                if isinstance(event, Loaded):
                    self._begin(name, engine.name, event)
                elif isinstance(event, Lost):
                    self._on_worker_lost(event)
                else:
                    self._take(event)
        finally:
            events.close()
            self._time_left.close()
            if self._session is not None:
                remove_stale_partials(self._plan.out)

    def report(self, label: str, warning: str | None = None) -> None:
        """Tell the user how far the work is."""
        done = self.summary.made + self.summary.found
        pace = self._time_left.per_minute, self._time_left.seconds()
        if self._session is not None and (planned := self._time_left.newly_planned()):
            self._session.note(PLANNED_ROWS, planned)
        self._on_progress(Progress(done, len(self.summary.failed), self._total, label, warning, *pace))

    def _begin(self, name: str, engine: str, loaded: Loaded) -> None:
        """Let a worker edit. Only now is there a run folder: a model that cannot be loaded leaves none."""
        plan = self._plan
        if self._session is None:
            self._store = RunStore.create_or_resume(plan.out, plan.recipe, plan.about)
            about = describe_session(plan.data, plan.samples, engine, plan.shard, plan.mask_size)
            self._session = Session(plan.out, name, about)
            self._log = self._session.log("session")
        self._time_left.begin(loaded.worker)
        self._devices[loaded.worker] = loaded.about
        self._session.note("workers", self._devices)
        self._session.use_model(*loaded.model[:2], loaded.fingerprint)
        self.report(f"worker {loaded.worker} is ready")

    def _on_worker_lost(self, lost: Lost) -> None:
        if not lost.replaced:
            self._time_left.lose(lost.worker)
        then = "another takes its place" if lost.replaced else "no other takes its place"
        self.report("going on", warning=f"{lost.reason}; {then}")
        if (job := lost.given_up) is not None:
            why = f"{ATTEMPTS} workers died while they made it; the last: {lost.reason}"
            for sample in sorted(job.wanted):
                self._take(failure(job.key(sample), why), of_dead_worker=True)

    def _take(self, outcome: Outcome, of_dead_worker: bool = False) -> None:
        """Note what became of an edit, and save what its worker could not."""
        if outcome.image is not None or of_dead_worker or not self._plan.workers.shared_files:
            assert self._store is not None and self._log is not None, "a worker loads before it edits"
            (outcome,) = self._store.keep([outcome], self._image_paths, self._log)
        self._time_left.take(outcome)
        label = f"{outcome.key.combination} {outcome.key.sample}"
        if not outcome.failed:
            self.summary.made += 1
            known = self.summary.notes.setdefault(outcome.key.sample, [])
            known += [note for note in outcome.record["notes"] if note not in known]
            self.report(label)
            return
        self._failures += 1
        self.summary.failed[label] = error = str(outcome.record["error"])
        self.report(label, warning=f"{label} failed: {error}")
        if self._failures > self._plan.max_failures:
            raise PiebenchError(
                f"stopped after {self._failures} failed edits (--max-failures {self._plan.max_failures}), "
                f"the last {label}: {error}\nWhat is finished is kept. Every failure with its traceback: "
                f"piebench status {quote(str(self._plan.out))} --json"
            )
