"""How fast the workers of a run are, by what the run folder tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.runs.progress.pace import joint_speed
from piebench_eval.runs.progress.row_costs import rows_of
from piebench_eval.runs.progress.time_left import WorkerPace
from piebench_eval.runs.store.records import edits_of_logs
from piebench_eval.runs.store.session_log import sessions_by_name

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class AtWork:
    """The workers that are at work, or were when the newest edit was finished.

    Attributes:
        edits_per_second: of all together.
        rows_per_second: UNet rows, likewise.
        patience: seconds without a finished edit after which they count as gone.
    """

    edits_per_second: float
    rows_per_second: float
    patience: float

    def seconds_left(self, rows: float, since: float) -> float | None:
        """How long some work will take them; None if they are gone.

        Args:
            rows: the work, in UNet rows.
            since: seconds since the newest edit was finished.
        """
        return rows / self.rows_per_second if since < self.patience else None


def workers_of_run(folder: Path) -> AtWork | None:
    """Find out who is at work in a run folder, and how fast; None if that cannot be told yet.

    A session that goes on with the part of a run (the same shard) that another has left takes its place.
    """
    sessions = sessions_by_name(folder)
    paces: dict[str, dict[str, WorkerPace]] = {name: {} for name in sessions}
    for log, entries in edits_of_logs(folder).items():
        session = next((name for name in sessions if log.startswith(f"{name}.")), None)
        if session is not None and entries:
            pace = paces[session][log] = WorkerPace()
            for entry in entries:
                pace.add(entry, rows_of(entry))
    # Names of sessions are in the order of time: of each shard's, the newest stays.
    newest = {str(sessions[name].get("shard")): name for name, of_session in paces.items() if of_session}
    by_session = {name: list(paces[name].values()) for name in newest.values()}
    everyone = [pace for of_session in by_session.values() for pace in of_session]
    if not everyone:
        return None
    patience = max(pace.rows.patience for pace in everyone)
    ended = max(pace.rows.newest for pace in everyone)
    edits = rows = 0.0
    for name, of_session in by_session.items():
        active = [pace for pace in of_session if ended - pace.rows.newest < patience]
        if not active:
            continue
        silent = len(sessions[name].get("workers", ())) - len(of_session)  # at their first batch
        if f"{name}.session" in paces[name]:
            silent = 0  # it has one log for all of its workers
        workers = len(active) + max(0, silent)
        edits += joint_speed([pace.edits for pace in active], workers) or 0.0
        rows += joint_speed([pace.rows for pace in active], workers) or 0.0
    return AtWork(edits, rows, patience) if edits and rows else None
