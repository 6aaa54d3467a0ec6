"""Every score that was computed, with what it depends on: nothing is lost, nothing computed twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piebench_eval import __version__
from piebench_eval.demo.embedded import locate
from piebench_eval.files import append_line, read_json_lines
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks import OPEN_CLIP, open_clip_parts
from piebench_eval.registry import source_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from piebench_eval.metrics.networks import MetricModels
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
    """A network's name and, of one that lies on this machine, its files' sizes and times.

    A hub id stands for what the hub has under it.
    """
    if name.startswith(OPEN_CLIP):
        model, weights = open_clip_parts(name)
        place = Path(weights or model.removeprefix("local-dir:"))
    else:
        place = Path(locate(role, name))
    files = sorted(place.rglob("*")) if place.is_dir() else [place] * place.is_file()
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return [role, name, *([file, stat.st_size, stat.st_mtime_ns] for file, stat in stats)]


def cell_key(score: Score, sample: str, picture: str, geometry: str) -> str:
    """What a value is kept under.

    Args:
        score: the column and how it is computed.
        sample: fingerprint of the sample.
        picture: SHA-256 of the edit's file.
        geometry: how edit and source are brought to the same pixels.
    """
    parts = f"{score.fingerprint}{sample}{picture}{geometry}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def file_state(file: Path) -> list[int]:
    """What changes when a file does: its size and time."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


class CellStore:
    """A log beside the scores file; it may be deleted, and then everything is computed again."""

    def __init__(self, file: Path):
        """Read what is there.

        Args:
            file: the log.
        """
        self._file = file
        self._values: dict[str, float] = {}
        self._digests: dict[str, list[Any]] = {}
        if file.is_file():
            for entry in read_json_lines(file, {"values", "pictures"})[0]:
                if isinstance(entry["values"], dict) and isinstance(entry["pictures"], dict):
                    self._values |= entry["values"]
                    self._digests |= entry["pictures"]
        self._new_digests: dict[str, list[Any]] = {}

    def digest(self, picture: Path) -> str:
        """SHA-256 of a file; not read again while its size and time stay."""
        path, state = str(picture.resolve()), file_state(picture)
        known = self._digests.get(path)
        if known is None or known[:2] != state:
            known = [*state, hashlib.sha256(picture.read_bytes()).hexdigest()]
            self._digests[path] = self._new_digests[path] = known
        return str(known[2])

    def __contains__(self, key: str) -> bool:
        """Whether a value is known."""
        return key in self._values

    def __getitem__(self, key: str) -> float:
        """A value that is known."""
        return self._values[key]

    def add(self, values: Iterable[tuple[str, float]]) -> None:
        """Keep values, and what is new of digests, on disk before this returns."""
        new = dict(values)
        if not new and not self._new_digests:
            return
        append_line(self._file, json.dumps({"values": new, "pictures": self._new_digests}))
        self._values |= new
        self._new_digests = {}
