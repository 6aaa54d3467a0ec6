"""A cache of scores on disk, keyed by everything that a score depends on."""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
import tempfile
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from piebench_eval.demo.embedded import locate
from piebench_eval.errors import PiebenchError
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import OPEN_CLIP, open_clip_parts
from piebench_eval.registry import source_hash
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from piebench_eval.metrics.networks.metric_models import MetricModels
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.settings import Settings

T = TypeVar("T")

_LIBRARIES = (
    "torch",
    "torchvision",
    "torchmetrics",
    "transformers",
    "lpips",
    "open_clip_torch",
    "scikit-image",
    "pillow",
    "numpy",
)
_TABLE = "CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, value) WITHOUT ROWID"
"""The values' column has no type: SQLite then keeps every bit of a float, but for nan, which becomes NULL."""

_WAIT_SECONDS = 60
"""How long a process waits while another one writes."""

_WAIT_AT_A_TIME = 0.2  # seconds; SQLite waits deaf to Ctrl-C

_KEYS_PER_QUERY = 500
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Codes of a damaged file, of a file of another kind and of a database with another table."""


@dataclass(frozen=True)
class ScoreSpec:
    """What decides a score besides the images: metric, protocol, networks and precision.

    Attributes:
        column: name of the metric.
        protocol: the protocol that it is computed under.
        models: the networks.
        precision: ``fp32`` or ``bf16``.
    """

    column: str
    protocol: Protocol
    models: MetricModels
    precision: str

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the protocol's sections, the networks and the versions that the score depends on.

        A network's files are hashed once per object.
        """
        metric = METRICS.get(self.column)
        rules = tuple((section, getattr(self.protocol, section)) for section in metric.sections)
        networks = list(self.models.to_dict(metric.networks_under(self.protocol)).items())
        if "clip" in metric.sections and (other := self.protocol.clip.network):
            networks.append(("clip", other))
        return _fingerprint(self.column, rules, networks, self.precision)

    @property
    def reads_instruction(self) -> bool:
        """Whether the score depends on the sample's instruction, which its fingerprint does not cover."""
        return (
            "prompts" in METRICS.get(self.column).sections and self.protocol.prompts.target == "instruction"
        )


def _fingerprint(
    column: str, rules: tuple[tuple[str, Settings], ...], networks: list[tuple[str, str]], precision: str
) -> str:
    metric = METRICS.get(column)
    parts = [
        column,
        METRICS.release(column),
        None if METRICS.origin(column) is None else source_hash(metric.score),
        {section: section_rules.model_dump() for section, section_rules in rules},
        [_network(role, name) for role, name in networks],
        precision,
        scoring_versions(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@cache
def scoring_versions() -> dict[str, str]:
    """Versions of everything that scores depend on."""
    return {"piebench-eval": __version__, **{name: version(name) for name in _LIBRARIES}}


def _network(role: str, name: str) -> list[Any]:
    """A network's name and, if it is local, the hashes of its files."""
    if name.startswith(OPEN_CLIP):
        model, weights = open_clip_parts(name)
        place = Path(weights or model.removeprefix("local-dir:"))
    else:
        place = Path(locate(role, name))
    files = sorted(place.rglob("*")) if place.is_dir() else [place] * place.is_file()
    return [role, name, *([file.name, content_digest(file)] for file in files if file.is_file())]


def cache_key(spec: ScoreSpec, sample: str, image: str, geometry: str) -> str:
    """The key of a score in the cache, 32 hexadecimal digits.

    Args:
        spec: the column and how it is computed.
        sample: fingerprint of the sample.
        image: hash of the edit's file.
        geometry: how edit and source are brought to the same pixels.
    """
    parts = f"{spec.fingerprint}{sample}{image}{geometry}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def file_state(file: Path) -> tuple[int, ...]:
    """Size, times and inode of a file, which tell whether it has changed since it was last looked at.

    Archives and rsync restore size and modification time; the inode and its change time cannot be set.
    """
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def content_digest(file: Path) -> str:
    """Hash of a file's content; the file is read again only when its state has changed.

    Raises:
        OSError: it cannot be read.
    """
    return _content_digest(file.resolve(), file_state(file))


@lru_cache(maxsize=65536)
def _content_digest(file: Path, _state: tuple[int, ...]) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, hashlib.blake2b).hexdigest()[:64]


class ScoreCache:
    """Scores in an SQLite file beside the scores file, which several processes may use at once.

    A file that is deleted costs only time: its scores are computed again.
    """

    def __init__(self, file: Path):
        """Open the file, or create it.

        Args:
            file: the SQLite file.

        Raises:
            PiebenchError: it is damaged or no score cache, or cannot be written where it has to be created.
        """
        self._file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_be_used(error.strerror) from None
        with self._errors_named():
            self._database = self._open()
            weakref.finalize(self, self._database.close)

    def _open(self) -> sqlite3.Connection:
        """Open the database, without the system's file locks where the file system has none."""

        def connect(file_locks: bool = True) -> sqlite3.Connection:
            # No write-ahead log: it needs shared memory, which network file systems do not have.
            database = sqlite3.connect(
                f"{self._file.absolute().as_uri()}{'' if file_locks else '?vfs=unix-dotfile'}",
                uri=True,
                timeout=_WAIT_AT_A_TIME,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                database.execute(_TABLE)
            except BaseException:
                database.close()
                raise
            return database

        try:
            return connect()
        except sqlite3.OperationalError:
            if not _has_file_locks(self._file.parent):
                return _patiently(lambda: connect(file_locks=False))
        return _patiently(connect)

    def known(self, keys: Sequence[str]) -> dict[str, float]:
        """The scores that the cache has of those asked for, by key.

        Raises:
            PiebenchError: the file is damaged or locked.
        """
        found: dict[str, float] = {}
        with self._errors_named():
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                places = ",".join("?" * len(some))
                query = f"SELECT key, value FROM scores WHERE key IN ({places})"
                rows = _patiently(partial(self._select, query, some))
                found.update((key, float("nan") if value is None else value) for key, value in rows)
        return found

    def add(self, values: Iterable[tuple[str, float]]) -> None:
        """Keep scores in one transaction; they are on disk when this returns.

        Args:
            values: pairs of key and score.

        Raises:
            PiebenchError: the file cannot be written, is damaged, or another process keeps it locked.
        """
        if not (new := list(values)):
            return
        with self._errors_named():
            _patiently(lambda: self._insert(new))

    def _select(self, query: str, keys: Sequence[str]) -> list[tuple[str, float | None]]:
        return self._database.execute(query, tuple(keys)).fetchall()

    def _insert(self, values: Sequence[tuple[str, float]]) -> None:
        with self._database:  # commits, or rolls back
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", values)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that name the file and what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _LOCKED:
                raise PiebenchError(
                    f"{self._file}: another process has kept it locked for {_WAIT_SECONDS} seconds; wait for "
                    "that process, and run the same command again"
                ) from None
            if code in _DAMAGED:
                raise PiebenchError(
                    f"{self._file}: is damaged or no score cache ({error}); delete it, and its scores are "
                    "computed again"
                ) from None
            raise self._cannot_be_used(str(error)) from None

    def _cannot_be_used(self, reason: str | None) -> PiebenchError:
        return PiebenchError(
            f"{self._file}: cannot be read or written ({reason}); what is finished is kept: make room or "
            "allow writing there, and run the same command again"
        )


def _patiently(operation: Callable[[], T]) -> T:
    """Repeat an operation while another process holds the database, for at most ``_WAIT_SECONDS``."""
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            return operation()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _LOCKED or time.monotonic() >= end:
                raise


def _has_file_locks(folder: Path) -> bool:
    """Whether files of a folder can be locked: some network file systems have no locks."""
    try:
        import fcntl
    except ImportError:  # Windows always has them
        return True
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    return True
