"""The active workers of a run and their speed, by the logs in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.runs.estimates.edit_costs import cost_of
from piebench_eval.runs.estimates.pace import joint_speed
from piebench_eval.runs.estimates.time_left import WorkerPace
from piebench_eval.runs.store.records import edits_of_logs
from piebench_eval.runs.store.session_log import sessions_by_name

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ActiveWorkers:
    """The workers that were active when the newest edit was finished.

    Attributes:
        edits_per_second: of all together.
        evaluations_per_second: model evaluations of all together.
        timeout: seconds without a finished edit after which they count as gone.
    """

    edits_per_second: float
    evaluations_per_second: float
    timeout: float

    def seconds_left(self, evaluations: float, since: float) -> float | None:
        """Time that the workers need for some edits; None if they are gone.

        Args:
            evaluations: the cost of the edits.
            since: seconds since the newest edit was finished.
        """
        return evaluations / self.evaluations_per_second if since < self.timeout else None


def active_workers(folder: Path) -> ActiveWorkers | None:
    """Find the active workers of a run folder and their speed; None if unknown yet.

    A session replaces an earlier one of the same shard.
    """
    sessions = sessions_by_name(folder)
    paces: dict[str, dict[str, WorkerPace]] = {name: {} for name in sessions}
    for log, entries in edits_of_logs(folder).items():
        session = next((name for name in sessions if log.startswith(f"{name}.")), None)
        if session is not None and entries:
            pace = paces[session][log] = WorkerPace()
            for entry in entries:
                pace.add(entry, cost_of(entry))
    # Names of sessions are in the order of time: of each shard's, the newest stays.
    newest = {str(sessions[name].get("shard")): name for name, of_session in paces.items() if of_session}
    by_session = {name: list(paces[name].values()) for name in newest.values()}
    all_paces = [pace for of_session in by_session.values() for pace in of_session]
    if not all_paces:
        return None
    timeout = max(pace.evaluations.timeout for pace in all_paces)
    ended = max(pace.evaluations.newest for pace in all_paces)
    edits = evaluations = 0.0
    for name, of_session in by_session.items():
        active = [pace for pace in of_session if ended - pace.evaluations.newest < timeout]
        if not active:
            continue
        without_edits = len(sessions[name].get("workers", ())) - len(of_session)  # at their first batch
        if f"{name}.session" in paces[name]:
            without_edits = 0  # it has one log for all of its workers
        workers = len(active) + max(0, without_edits)
        edits += joint_speed([pace.edits for pace in active], workers) or 0.0
        evaluations += joint_speed([pace.evaluations for pace in active], workers) or 0.0
    return ActiveWorkers(edits, evaluations, timeout) if edits and evaluations else None
