"""A cache of scores on disk, each with everything that it depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval.demo.embedded import locate
from piebench_eval.files import append_line, read_json_lines
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.names import OPEN_CLIP, open_clip_parts
from piebench_eval.registry import source_hash
from piebench_eval.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.metrics.networks.names import MetricModels
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.registry import Settings

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


@dataclass(frozen=True)
class Score:
    """A column under a protocol.

    Attributes:
        column: name of the metric.
        protocol: how to look at the pictures.
        models: the networks.
        precision: ``fp32`` or ``bf16``.
    """

    column: str
    protocol: Protocol
    models: MetricModels
    precision: str

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that a value depends on besides pictures: equal for protocols that agree there.

        Files are looked at once for each object: they may be others the next time.
        """
        sections = METRICS.get(self.column).sections
        rules = tuple((section, getattr(self.protocol, section)) for section in sections)
        return _fingerprint(self.column, rules, self.models, self.precision)


def _fingerprint(
    column: str, rules: tuple[tuple[str, Settings], ...], models: MetricModels, precision: str
) -> str:
    metric = METRICS.get(column)
    networks = list(models.to_dict(metric.networks).items())
    networks += [("clip", other) for _, section in rules if (other := getattr(section, "network", None))]
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
    """A network's name and, of one that lies on this machine, its files' contents.

    A hub id stands for what the hub has under it.
    """
    if name.startswith(OPEN_CLIP):
        model, weights = open_clip_parts(name)
        place = Path(weights or model.removeprefix("local-dir:"))
    else:
        place = Path(locate(role, name))
    files = sorted(place.rglob("*")) if place.is_dir() else [place] * place.is_file()
    return [role, name, *([file.name, content_digest(file)] for file in files if file.is_file())]


def cell_key(score: Score, sample: str, picture: str, geometry: str) -> str:
    """What a value is kept under.

    Args:
        score: the column and how it is computed.
        sample: fingerprint of the sample.
        picture: hash of the edit's file.
        geometry: how edit and source are brought to the same pixels.
    """
    parts = f"{score.fingerprint}{sample}{picture}{geometry}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def file_state(file: Path) -> tuple[int, ...]:
    """What changes when a file does while a process watches it.

    Size and time of the content stay when another file of the same ones is put in its place; the file's
    number and the time of its last change, which nobody can set, do not.
    """
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def content_digest(file: Path) -> str:
    """Hash of a file's content; a process reads a file again only when its state has changed.

    Raises:
        OSError: it cannot be read.
    """
    return _content_digest(file.resolve(), file_state(file))


@lru_cache(maxsize=65536)
def _content_digest(file: Path, _state: tuple[int, ...]) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, hashlib.blake2b).hexdigest()[:64]


class ScoreCache:
    """A log beside the scores file; it may be deleted, and then everything is computed again."""

    def __init__(self, file: Path):
        """Read what is there.

        Args:
            file: the log.
        """
        self._file = file
        self._values: dict[str, float] = {}
        if file.is_file():
            for entry in read_json_lines(file, {"values"})[0]:
                if isinstance(entry["values"], dict):
                    self._values |= entry["values"]

    def digest(self, picture: Path) -> str:
        """What a picture is known by: its content alone, see ``content_digest``."""
        return content_digest(picture)

    def __contains__(self, key: str) -> bool:
        """Whether a value is known."""
        return key in self._values

    def __getitem__(self, key: str) -> float:
        """A value that is known."""
        return self._values[key]

    def add(self, values: Iterable[tuple[str, float]]) -> None:
        """Keep values, on disk before this returns."""
        if new := dict(values):
            append_line(self._file, json.dumps({"values": new}))
            self._values |= new
