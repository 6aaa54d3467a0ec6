"""Execute the plan of a run: an engine makes the edits, a session records and reports them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import remove_stale_partials
from piebench_eval.runs.engines.base import ModelLoaded, WorkerLost, WorkersSilent
from piebench_eval.runs.engines.choice import choose_engine, largest_batch
from piebench_eval.runs.engines.devices import resolve_devices
from piebench_eval.runs.estimates.time_left import TimeLeft
from piebench_eval.runs.jobs import plan_jobs
from piebench_eval.runs.larger_edits import LargerEdits
from piebench_eval.runs.queue import MAX_ATTEMPTS, JobQueue
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.manifest import describe_session
from piebench_eval.runs.store.records import Outcome, RecordLog, failure
from piebench_eval.runs.store.session_log import PLANNED_EVALUATIONS, SessionLog, session_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from piebench_eval.runs.jobs import Job, JobGroup
    from piebench_eval.runs.plan import RunPlan
    from piebench_eval.runs.store.records import EditKey


@dataclass(frozen=True)
class Progress:
    """How far a session is.

    Attributes:
        done: finished edits of its shard, those of earlier sessions included.
        failed: edits that have failed.
        total: edits of its shard.
        label: the latest event.
        warning: a warning for the user.
        per_minute: edits per minute lately; None if unknown yet.
        seconds_left: time left, with that of the runs after it in the same command; None if unknown yet.
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
        failed: failed edits, those of earlier sessions that were not tried again included: ``COMBINATION ID``
            and why.
        notes: notes on edits, by sample id.
    """

    made: int = 0
    found: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)


def execute_run(plan: RunPlan, on_progress: Callable[[Progress], None]) -> RunSummary:
    """Execute a plan; every edit is on disk before it is reported.

    Args:
        plan: from ``plan_run``.
        on_progress: called at the start, after each edit, and with each warning.

    Raises:
        PiebenchError: the model cannot be loaded or used, the run folder belongs to something else or cannot
            be written to, or too many edits have failed.
    """
    scan = plan.scan()
    unfinished = scan.missing or (plan.retry_failed and scan.failed)
    devices = resolve_devices(plan.machine) if unfinished else ["cpu"]
    batch_size = largest_batch(plan.machine, devices)
    groups = plan_jobs(plan.recipe, plan.samples, batch_size, plan.shard)
    edits = {job.key(sample) for group in groups for job in group.jobs for sample in job.wanted}
    finished = scan.done if plan.retry_failed else {**scan.done, **scan.failed}
    left = [rest for group in groups if (rest := group.without(finished)) is not None]
    queue = JobQueue(_failed_last(left, scan.failed) if plan.retry_failed else left)
    time_left = TimeLeft(plan, [job for group in left for job in group.jobs], scan.done)
    session = _Session(
        plan, on_progress, len(edits), found=len(edits & scan.done.keys()), time_left=time_left
    )
    for problem in scan.problems:
        session.report("checking", warning=problem)
    if not plan.retry_failed:
        for key in edits & scan.failed.keys():
            session.summary.failed[f"{key.combination} {key.sample}"] = str(scan.failed[key]["error"])
    session.report("nothing to do" if queue.is_empty else "loading the model")
    if not queue.is_empty:
        session.execute(queue, devices)
    return session.summary


def _failed_last(groups: Sequence[JobGroup], failed: Mapping[EditKey, dict[str, Any]]) -> list[JobGroup]:
    """Order jobs so that those that have failed come last, the newest failure at the end.

    If the same edit ends this session too, everything else is made before.
    """

    def newest(edits: Iterable[EditKey]) -> str:
        return max((str(failed[edit]["finished"]) for edit in edits if edit in failed), default="")

    def of_job(job: Job) -> str:
        return newest(map(job.key, job.wanted))

    in_order = [replace(group, jobs=tuple(sorted(group.jobs, key=of_job))) for group in groups]
    return sorted(in_order, key=lambda group: of_job(group.jobs[-1]))


class _Session:
    """One command's work on a run: handles the engine's events, saves outcomes and reports progress."""

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
        combinations = [plan.recipe.combination(*pair) for pair in plan.recipe.pairs]
        self._larger_edits = LargerEdits(plan.data, plan.samples, combinations)
        self._devices: dict[str, dict[str, object]] = {}
        self._image_paths = {sample.id: sample.image_path for sample in plan.samples}
        self._session_log: SessionLog | None = None
        self._store: RunStore | None = None
        self._log: RecordLog | None = None

    def execute(self, queue: JobQueue, devices: list[str]) -> None:
        """Let an engine do the jobs of a queue.

        Raises:
            PiebenchError: the run cannot continue.
        """
        name = session_name()
        engine = choose_engine(self._plan, name, devices)
        events = engine.run(queue)
        try:
            for event in events:
                if isinstance(event, ModelLoaded):
                    self._on_model_loaded(name, engine.name, event)
                elif isinstance(event, WorkerLost):
                    self._on_worker_lost(event)
                elif isinstance(event, WorkersSilent):
                    self.report("waiting", warning=event.reason)
                else:
                    self._on_outcome(event)
        finally:
            events.close()
            self._time_left.close()
            if self._session_log is not None:
                remove_stale_partials(self._plan.out)

    def report(self, label: str, warning: str | None = None) -> None:
        """Report progress to the user."""
        done = self.summary.made + self.summary.found
        pace = self._time_left.per_minute, self._time_left.seconds()
        if self._session_log is not None and (planned := self._time_left.new_forecast()):
            self._session_log.note(PLANNED_EVALUATIONS, planned)
        self._on_progress(Progress(done, len(self.summary.failed), self._total, label, warning, *pace))

    def _on_model_loaded(self, name: str, engine: str, loaded: ModelLoaded) -> None:
        """Note a worker's model. The first makes the run folder: without a loaded model there is none."""
        plan = self._plan
        if self._session_log is None:
            self._store = RunStore.create_or_resume(plan.out, plan.recipe, plan.about)
            about = describe_session(plan.data, plan.samples, engine, plan.shard, plan.mask_size, plan.subset)
            self._session_log = SessionLog(plan.out, name, about)
            self._log = self._session_log.record_log("session")
        self._time_left.add_worker(loaded.worker)
        self._devices[loaded.worker] = loaded.about
        self._session_log.note("workers", self._devices)
        model = loaded.model
        self._session_log.use_model(model.name, model.revision, loaded.fingerprint, model.editor)
        for encoder, fingerprint in loaded.about.get("image_encoders", {}).items():
            self._session_log.use_model(encoder, None, fingerprint)
        self.report(f"worker {loaded.worker} is ready")

    def _on_worker_lost(self, lost: WorkerLost) -> None:
        if not lost.replaced:
            self._time_left.remove_worker(lost.worker)
        then = "another takes its place" if lost.replaced else "no other takes its place"
        self.report("continuing", warning=f"{lost.reason}; {then}")
        if (job := lost.given_up) is not None:
            why = f"{MAX_ATTEMPTS} workers died while they made it; the last: {lost.reason}"
            for sample in sorted(job.wanted):
                self._on_outcome(failure(job.key(sample), why), of_lost_worker=True)

    def _on_outcome(self, outcome: Outcome, of_lost_worker: bool = False) -> None:
        """Count and report an outcome, after saving it if its worker could not."""
        if outcome.image is not None or of_lost_worker or not self._plan.machine.shared_files:
            assert self._store is not None and self._log is not None, "a worker loads before it edits"
            (outcome,) = self._store.save([outcome], self._image_paths, self._log)
        self._time_left.add_outcome(outcome)
        label = f"{outcome.key.combination} {outcome.key.sample}"
        if not outcome.failed:
            self.summary.made += 1
            known = self.summary.notes.setdefault(outcome.key.sample, [])
            known += [note for note in outcome.record["notes"] if note not in known]
            self.report(label, warning=self._larger_edits.warning(outcome))
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
