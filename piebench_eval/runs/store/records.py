"""What became of each edit: outcomes, the log that every worker keeps, and what the logs add up to."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from piebench_eval.files import append_line, read_json_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

RECORDS_FOLDER = "records"
_SYNC_SECONDS = 1.0


class EditKey(NamedTuple):
    """Which edit: one sample by one combination."""

    inversion: str
    method: str
    sample: str

    @property
    def combination(self) -> str:
        """As in folder names: ``direct+p2p``."""
        return f"{self.inversion}+{self.method}"


@dataclass(frozen=True)
class Outcome:
    """An edit that was made, or that failed.

    Attributes:
        key: which edit.
        record: what the log keeps of it; a failure's holds ``error`` and ``traceback``.
        image: the encoded picture; None for a failure, or where the worker has saved it already.
        worker: who made it; empty if it was found.
    """

    key: EditKey
    record: dict[str, Any]
    image: bytes | None = None
    worker: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no picture."""
        return "error" in self.record


def failure(key: EditKey, error: str, traceback: str = "") -> Outcome:
    """An edit that could not be made."""
    return Outcome(key, {"finished": now(), "error": error, "traceback": traceback})


def now() -> str:
    """The time, as records keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class RecordLog:
    """One worker's log: a line per edit, appended after the edit's picture is on the disk.

    A record without its picture, or the other way round, is therefore no finished edit, and is made again.
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
        # Waiting for the disk at every line would cost more than quick edits themselves. A crash of the whole
        # machine may lose a second's records, and with them only the time to make their edits again.
        sync = time.monotonic() - self._synced > _SYNC_SECONDS
        append_line(self._file, "\n".join(lines), sync)
        if sync:
            self._synced = time.monotonic()


@dataclass
class Ledger:
    """All records of a run.

    Attributes:
        made: records of edits that were made; an edit that was made again has several, the newest last.
        failed: the newest record of each edit that failed, made or not since.
        problems: what is wrong with the logs.
    """

    made: dict[EditKey, list[dict[str, Any]]] = field(default_factory=dict)
    failed: dict[EditKey, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_ledger(folder: Path) -> Ledger:
    """Read the logs of all workers in a run folder."""
    ledger, entries = Ledger(), []
    for file, found, torn in _read_logs(folder):
        entries += found
        if torn:
            lines = "a torn line" if torn == 1 else f"{torn} torn lines"
            ledger.problems.append(f"{file}: {lines}; edits without a record will be made again")
    for entry in sorted(entries, key=lambda entry: str(entry["finished"])):
        key = EditKey(*(str(entry.pop(name)) for name in EditKey._fields))
        if "error" in entry:
            ledger.failed[key] = entry
        else:
            ledger.made.setdefault(key, []).append(entry)
    return ledger


def edits_of_logs(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of edits that were made, in the order of each worker's log, by the log's name."""
    return {
        file.stem: [entry for entry in found if "error" not in entry] for file, found, _ in _read_logs(folder)
    }


def _read_logs(folder: Path) -> Iterator[tuple[Path, list[dict[str, Any]], int]]:
    """Each worker's log: the file, its entries, and how many lines are torn."""
    for file in sorted((folder / RECORDS_FOLDER).glob("*.jsonl")):
        yield file, *read_json_lines(file, {*EditKey._fields, "finished"})
