"""Session logs of a run folder: a file per command, which only that command writes."""

from __future__ import annotations

import json
import os
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from piebench_eval.errors import PiebenchError
from piebench_eval.files import read_json_object, write_whole
from piebench_eval.runs.store.records import RECORDS_FOLDER, RecordLog

if TYPE_CHECKING:
    from pathlib import Path

SESSIONS_FOLDER = "sessions"
PLANNED_ROWS = "planned_rows"
"""What a session notes of the UNet rows of an edit by each combination, once it has counted them."""

_PARTS = {"started", "data_folder", "samples", "models"}


class Session:
    """One command's work on a run: a file in ``sessions/`` that only it writes.

    Attributes:
        name: distinct from every other session's, and sorted by time.
    """

    def __init__(self, folder: Path, name: str, content: dict[str, Any]):
        self.name = name
        self._folder = folder
        self._content = {"models": {}, **content}
        self._write()

    def log(self, worker: str) -> RecordLog:
        """A worker's own log."""
        return RecordLog(log_file(self._folder, self.name, worker))

    def note(self, part: str, value: Any) -> None:
        """Add something to what the session says of itself."""
        self._content[part] = value
        self._write()

    def use_model(self, model: str, revision: str | None, fingerprint: str | None) -> None:
        """Note which weights the edits that follow are made with.

        Raises:
            PiebenchError: other sessions of the run have others.
        """
        name = f"{model}@{revision}" if revision else model
        if self._content["models"].setdefault(name, fingerprint) != fingerprint:
            raise changed(self._folder, f"the files of the model {name}")
        # First written, then compared: of two sessions that begin at once, one at least sees the other.
        self._write()
        for session in read_sessions(self._folder):
            if session["models"].get(name, fingerprint) != fingerprint:
                raise changed(self._folder, f"the files of the model {name}")

    def _write(self) -> None:
        file = self._folder / SESSIONS_FOLDER / f"{self.name}.json"
        write_whole(file, json.dumps(self._content, indent=1).encode())


def log_file(folder: Path, session: str, worker: str) -> Path:
    """Where a worker of a session logs."""
    return folder / RECORDS_FOLDER / f"{session}.{worker}.jsonl"


def session_name() -> str:
    """A name that no other session of any machine has."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{started}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def changed(folder: Path, what: str) -> PiebenchError:
    """The refusal to mix results."""
    return PiebenchError(f"{folder}: {what} changed since the run began; choose another --out, or restore it")


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """What every session of a run wrote of itself, oldest first.

    Raises:
        PiebenchError: one is damaged.
    """
    return list(sessions_by_name(folder).values())


def sessions_by_name(folder: Path) -> dict[str, dict[str, Any]]:
    """What every session of a run wrote of itself, oldest first, by its name.

    Raises:
        PiebenchError: one is damaged.
    """
    remedy = "restore it, or delete it and run the same command again"
    files = sorted((folder / SESSIONS_FOLDER).glob("*.json"))
    return {file.stem: read_json_object(file, _PARTS, remedy) for file in files}
