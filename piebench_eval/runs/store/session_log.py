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
PLANNED_EVALUATIONS = "planned_rows"
"""Field of a session log: planned model evaluations per edit, by combination, once they are counted."""

BY_EDITOR = ", whole pipeline"
"""What follows the name of a model whose whole pipeline an editor loads."""

_FIELDS = {"started", "data_folder", "samples", "models"}


class SessionLog:
    """The log of one session: a file that only its command writes. A session is one command's work on a run.

    Attributes:
        name: name of the session; unique, and sorted by time.
    """

    def __init__(self, folder: Path, name: str, content: dict[str, Any]):
        self.name = name
        self._folder = folder
        self._content = {"models": {}, **content}
        self._write()

    def record_log(self, worker: str) -> RecordLog:
        """The record log of a worker."""
        return RecordLog(log_file(self._folder, self.name, worker))

    def note(self, field: str, value: Any) -> None:
        """Add a field to the log."""
        self._content[field] = value
        self._write()

    def use_model(self, model: str, revision: str | None, fingerprint: str | None, editor: str = "") -> None:
        """Note the weights of the edits that follow.

        Args:
            model: the model's name.
            revision: its revision.
            fingerprint: of the files that are read of it.
            editor: the editor that loads it itself, and reads other files than inversions and methods do.

        Raises:
            PiebenchError: another session of the run has used other weights.
        """
        name = f"{model}@{revision}" if revision else model
        if editor and fingerprint is None:
            return  # it loads nothing
        if editor:
            name += BY_EDITOR
        if self._content["models"].setdefault(name, fingerprint) != fingerprint:
            raise changed_error(self._folder, f"the files of the model {name}")
        # Written before compared: of two sessions that start at once, at least one sees the other.
        self._write()
        for session in read_sessions(self._folder):
            if session["models"].get(name, fingerprint) != fingerprint:
                raise changed_error(self._folder, f"the files of the model {name}")

    def _write(self) -> None:
        file = self._folder / SESSIONS_FOLDER / f"{self.name}.json"
        write_whole(file, json.dumps(self._content, indent=1).encode())


def log_file(folder: Path, session: str, worker: str) -> Path:
    """The record log of a worker of a session."""
    return folder / RECORDS_FOLDER / f"{session}.{worker}.jsonl"


def session_name() -> str:
    """A new name, unique on all machines."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{started}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def changed_error(folder: Path, what: str) -> PiebenchError:
    """The error that refuses to mix results of different inputs."""
    return PiebenchError(f"{folder}: {what} changed since the run began; choose another --out, or restore it")


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """The session logs of a run, oldest first.

    Raises:
        PiebenchError: one is damaged.
    """
    return list(sessions_by_name(folder).values())


def sessions_by_name(folder: Path) -> dict[str, dict[str, Any]]:
    """The session logs of a run by name, oldest first.

    Raises:
        PiebenchError: one is damaged.
    """
    remedy = "restore it, or delete it and run the same command again"
    files = sorted((folder / SESSIONS_FOLDER).glob("*.json"))
    return {file.stem: read_json_object(file, _FIELDS, remedy) for file in files}
