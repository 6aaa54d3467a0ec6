"""The status of a run: finished, failed and missing edits, pace, time left, and damage in its folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from piebench_eval.combination_names import combination_name
from piebench_eval.files import is_partial
from piebench_eval.runs.estimates.active_workers import active_workers
from piebench_eval.runs.estimates.edit_costs import EditCosts
from piebench_eval.runs.store.paths import IMAGES_FOLDER
from piebench_eval.runs.store.session_log import PLANNED_EVALUATIONS, read_sessions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from piebench_eval.data.sample import Sample
    from piebench_eval.runs.store.folder import RunStore, Scan


@dataclass(frozen=True)
class CombinationStatus:
    """Numbers of finished, failed and missing edits of one combination."""

    combination: str
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class Status:
    """The status of a run.

    Attributes:
        parts: the status of each combination.
        per_minute: edits per minute in the last quarter of an hour of work, or by the last batches where they
            take longer; None if there are too few.
        seconds_left: time left, by the model evaluations of the missing edits and the pace of the workers;
            None if no worker is active.
        newest: when the newest edit was finished, in ISO format.
        failures: the failed edits: key, error and traceback.
        problems: damaged and foreign files, and what the next session does about them.
    """

    parts: list[CombinationStatus]
    per_minute: float | None
    seconds_left: float | None
    newest: str | None
    failures: list[dict[str, Any]]
    problems: list[str]

    @property
    def missing(self) -> int:
        """Number of edits that are neither made nor failed."""
        return sum(part.missing for part in self.parts)


def status_of_run(
    store: RunStore, samples: Sequence[Sample], verify: bool = False, now: datetime | None = None
) -> Status:
    """Read the status of a run from its folder; nothing in it is changed.

    Args:
        store: the run.
        samples: its planned samples.
        verify: check every image against the checksum in its record.
        now: the current time; from the clock by default.
    """
    scan = store.scan(samples)
    times = [datetime.fromisoformat(record["finished"]) for record in scan.done.values()]
    newest = max(times, default=None)
    costs = _costs(store, scan)
    workers = active_workers(store.folder)
    left = costs.total(Counter(key.combination for key in scan.missing))
    since = None if newest is None else ((now or datetime.now(UTC)) - newest).total_seconds()
    problems = scan.problems + _foreign_files(store, samples)
    if verify:
        problems += _changed_files(store, samples, scan)
    return Status(
        parts=_parts(store, scan),
        per_minute=None if workers is None else workers.edits_per_second * 60,
        seconds_left=None if workers is None or since is None else workers.seconds_left(left, since),
        newest=newest.isoformat(timespec="seconds") if newest else None,
        failures=[{**key._asdict(), **record} for key, record in scan.failed.items()],
        problems=problems,
    )


def _parts(store: RunStore, scan: Scan) -> list[CombinationStatus]:
    counts = [Counter(key[:2] for key in keys) for keys in (scan.done, scan.failed, scan.missing)]
    return [
        CombinationStatus(combination_name(*pair), *(count[pair] for count in counts))
        for pair in store.recipe.pairs
    ]


def _costs(store: RunStore, scan: Scan) -> EditCosts:
    """The cost of edits by their records, or as a session has forecast it."""
    planned: dict[str, float] = {}
    for session in read_sessions(store.folder):
        planned |= session.get(PLANNED_EVALUATIONS, {})
    costs = EditCosts(planned)
    for key, record in scan.done.items():
        costs.add(key.combination, record)
    return costs


def _foreign_files(store: RunStore, samples: Iterable[Sample]) -> list[str]:
    pairs = store.recipe.pairs
    own = {store.image_file(*pair, sample) for sample in samples for pair in pairs}
    files = sorted(file for file in (store.folder / IMAGES_FOLDER).rglob("*") if file.is_file())
    return [
        f"{file}: belongs to no edit of this run; it is left alone"
        for file in files
        if file not in own and not is_partial(file)
    ]


def _changed_files(store: RunStore, samples: Iterable[Sample], scan: Scan) -> list[str]:
    by_id = {sample.id: sample for sample in samples}
    files: list[tuple[Path, str]] = [
        (store.image_file(key.inversion, key.method, by_id[key.sample]), record.get("sha256", ""))
        for key, record in scan.done.items()
    ]
    return [
        f"{file}: is not what its record says (checksum); delete it and run again, and it is made again"
        for file, checksum in files
        if hashlib.sha256(file.read_bytes()).hexdigest() != checksum
    ]
