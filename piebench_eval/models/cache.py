"""A cache of results that several combinations share: in memory, and on disk if asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from piebench_eval.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class CacheEntry:
    """The results of a computation for one sample, and their cost.

    Attributes:
        tensors: the results, by name.
        forward: model evaluations that were computed for it.
        backward: model evaluations that were differentiated for it.
    """

    tensors: dict[str, torch.Tensor]
    forward: int
    backward: int


def fingerprints(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The hash of each sample's content, to stand for its tensors in the keys of many results.

    Args:
        tensors: each ``[samples, ...]``.

    Returns:
        Bytes ``[samples, 32]``, on the CPU.
    """
    digests = []
    for of_sample in zip(*tensors, strict=True):
        _add_content(digest := hashlib.sha256(), of_sample)
        digests.append(list(digest.digest()))
    return torch.tensor(digests, dtype=torch.uint8)


def _add_content(digest: hashlib._Hash, tensors: Sequence[torch.Tensor]) -> None:
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


class Cache:
    """Results by the hash of everything that determines them.

    Attributes:
        identity: what every result depends on besides its own inputs: model, precision, processor, compiler,
            versions, and the source of whatever comes from outside the package. The size of the batch is not
            in it, though it moves last digits on a GPU: a batch is halved when memory runs out.
        folder: where results are kept beyond this process; nowhere if None.
    """

    def __init__(self, identity: Mapping[str, Any], folder: Path | None = None):
        self.identity = dict(identity)
        self.folder = folder
        self._entries: dict[str, CacheEntry] = {}

    def key(self, kind: str, settings: Mapping[str, Any], tensors: Sequence[torch.Tensor]) -> str:
        """Hash everything that determines a result.

        Args:
            kind: what is computed.
            settings: plain values that it depends on.
            tensors: tensors that it depends on; they count by their content.
        """
        digest = hashlib.sha256(json.dumps([kind, self.identity, settings], sort_keys=True).encode())
        _add_content(digest, tensors)
        return f"{kind}-{digest.hexdigest()}"

    def get(self, key: str) -> CacheEntry | None:
        """Return the entry of a key; a damaged file counts as none."""
        if key not in self._entries and (entry := self._read(key)) is not None:
            self._entries[key] = entry
        return self._entries.get(key)

    def put(self, key: str, entry: CacheEntry) -> None:
        """Keep an entry, on disk too if there is a folder.

        Raises:
            PiebenchError: the folder cannot be written to.
        """
        self._entries[key] = entry
        if self.folder is not None:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in entry.tensors.items()}
            costs = {"forward": str(entry.forward), "backward": str(entry.backward)}
            write_whole(self._file(self.folder, key), save(tensors, metadata=costs))

    def forget(self) -> None:
        """Drop what is in memory; what is on disk stays."""
        self._entries.clear()

    def _read(self, key: str) -> CacheEntry | None:
        if self.folder is None or not (file := self._file(self.folder, key)).is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                costs = opened.metadata()
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                return CacheEntry(tensors, int(costs["forward"]), int(costs["backward"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    @staticmethod
    def _file(folder: Path, key: str) -> Path:
        return folder / key[-2:] / f"{key}.safetensors"
