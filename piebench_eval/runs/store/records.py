"""Outcomes of edits, the record log of each worker, and the records of all logs together."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from piebench_eval.combination_names import combination_name
from piebench_eval.files import append_line, read_json_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

RECORDS_FOLDER = "records"
_SYNC_SECONDS = 1.0


class EditKey(NamedTuple):
    """Identifies an edit: one sample by one combination."""

    inversion: str
    method: str
    sample: str

    @property
    def combination(self) -> str:
        """Name of the combination, as in folder names: ``direct+p2p``; an editor's has no inversion."""
        return combination_name(self.inversion, self.method)


def evaluations_of(record: Mapping[str, Any]) -> int | None:
    """Model evaluations of an edit, forward and backward, by its record; None if it does not say.

    >>> evaluations_of({"unet_rows_forward": 100, "unet_rows_backward": 20}), evaluations_of({})
    (120, None)
    """
    counts = [record.get(field) for field in ("unet_rows_forward", "unet_rows_backward")]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if len(known) == len(counts) else None


@dataclass(frozen=True)
class Outcome:
    """The outcome of an edit: made or failed.

    Attributes:
        key: which edit.
        record: its record; of a failure, with ``error`` and ``traceback``.
        image: the encoded image; None for a failure, or if the worker has saved it already.
        worker: name of the worker; empty if an earlier session made it.
    """

    key: EditKey
    record: dict[str, Any]
    image: bytes | None = None
    worker: str = ""

    @property
    def failed(self) -> bool:
        """Whether the edit has failed."""
        return "error" in self.record


def failure(key: EditKey, error: str, traceback: str = "") -> Outcome:
    """The outcome of an edit that has failed."""
    return Outcome(key, {"finished": now(), "error": error, "traceback": traceback})


def now() -> str:
    """The current time, as in records."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class RecordLog:
    """The log of one worker: a line per edit, appended after the image is on disk.

    An edit with a record but no image, or an image but no record, is not finished and is made again.
    """

    def __init__(self, file: Path):
        self._file = file
        self._synced = 0.0

    def append(self, outcomes: Iterable[Outcome]) -> None:
        """Log outcomes.

        Raises:
            PiebenchError: the disk is full, or the folder cannot be written to.
        """
        lines = [json.dumps({**outcome.key._asdict(), **outcome.record}) for outcome in outcomes]
        # Waiting for the disk at every line would take longer than fast edits. A crash of the machine can
        # lose the records of a second, whose edits are then made again.
        sync = time.monotonic() - self._synced > _SYNC_SECONDS
        append_line(self._file, "\n".join(lines), sync)
        if sync:
            self._synced = time.monotonic()


@dataclass
class RunRecords:
    """The records of all logs of a run.

    Attributes:
        made: records of the edits that were made; several, the newest last, if one was made again.
        failed: the newest record of each edit that has failed, also if it was made later.
        problems: damage in the logs.
    """

    made: dict[EditKey, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[EditKey, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_records(folder: Path) -> RunRecords:
    """Read the record logs of all workers of a run folder."""
    records, entries = RunRecords(), []
    for file, found, torn in _read_logs(folder):
        entries += found
        if torn:
            lines = "a torn line" if torn == 1 else f"{torn} torn lines"
            records.problems.append(f"{file}: {lines}; edits without a record will be made again")
    for entry in sorted(entries, key=lambda entry: str(entry["finished"])):
        key = EditKey(*(str(entry.pop(name)) for name in EditKey._fields))
        if "error" in entry:
            records.failed[key] = entry
        else:
            records.made.setdefault(key, []).append(entry)
    return records


def edits_of_logs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of edits that were made, by name of the log, in its order."""
    return {
        file.stem: [entry for entry in found if "error" not in entry] for file, found, _ in _read_logs(folder)
    }


def _read_logs(folder: Path) -> Iterator[tuple[Path, list[dict[str, Any]], int]]:
    """Each log: the file, its entries, and the number of torn lines."""
    for file in sorted((folder / RECORDS_FOLDER).glob("*.jsonl")):
        yield file, *read_json_lines(file, {*EditKey._fields, "finished"})
