"""How far a run is, how fast it goes, and what is wrong with its folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from piebench_eval.files import is_partial
from piebench_eval.runs.store import IMAGES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.store import RunStore, Scan

_WINDOW = timedelta(minutes=15)
"""The pace is that of the last quarter of an hour of work."""


@dataclass(frozen=True)
class Part:
    """One combination's edits, counted."""

    combination: str
    done: int
    failed: int
    missing: int


@dataclass(frozen=True)
class Status:
    """The state of a run.

    Attributes:
        parts: its combinations.
        per_minute: edits per minute in the last quarter of an hour of work; None if there are too few.
        seconds_left: what is missing at that pace; None if nobody has finished an edit for so long.
        newest: when the newest edit was finished, in ISO format.
        failures: the failed edits: key, error and traceback.
        problems: what is damaged or foreign, and what becomes of it.
    """

    parts: list[Part]
    per_minute: float | None
    seconds_left: float | None
    newest: str | None
    failures: list[dict[str, Any]]
    problems: list[str]

    @property
    def missing(self) -> int:
        """Edits that are neither made nor failed."""
        return sum(part.missing for part in self.parts)


def status_of_run(
    store: RunStore, samples: Sequence[Sample], verify: bool = False, now: datetime | None = None
) -> Status:
    """Read a run's state from its folder; nothing in it is changed.

    Args:
        store: the run.
        samples: its planned samples.
        verify: read every picture, and hold it against the checksum in its record.
        now: the time; the clock's by default.
    """
    scan = store.scan(samples)
    times = [datetime.fromisoformat(record["finished"]) for record in scan.done.values()]
    per_minute = _pace(times)
    newest = max(times, default=None)
    active = newest is not None and (now or datetime.now(UTC)) - newest < _WINDOW
    problems = scan.problems + _foreign_files(store, samples)
    if verify:
        problems += _changed_files(store, samples, scan)
    return Status(
        parts=_parts(store, scan),
        per_minute=per_minute,
        seconds_left=len(scan.missing) / per_minute * 60 if per_minute and active else None,
        newest=newest.isoformat(timespec="seconds") if newest else None,
        failures=[{**key._asdict(), **record} for key, record in scan.failed.items()],
        problems=problems,
    )


def _parts(store: RunStore, scan: Scan) -> list[Part]:
    counts = [Counter(key[:2] for key in keys) for keys in (scan.done, scan.failed, scan.missing)]
    return [Part("+".join(pair), *(count[pair] for count in counts)) for pair in store.recipe.pairs]


def _pace(times: Sequence[datetime]) -> float | None:
    """Edits per minute among the newest."""
    recent = sorted(time for time in times if max(times) - time < _WINDOW)
    if len(recent) < 2 or recent[0] == recent[-1]:
        return None
    return (len(recent) - 1) / (recent[-1] - recent[0]).total_seconds() * 60


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
