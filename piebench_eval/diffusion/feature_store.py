"""Where an inversion's features lie until sampling reads them: on the GPU, in the host's memory, on disk."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from piebench_eval.diffusion.feature_limits import FEATURE_OPTION, FeatureLimits, FeaturePlace, bytes_text
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    import torch

_BLOCK = 2**30
"""Bytes of pinned memory that are asked for at a time: always as many, so that batches of any size find what
those before have given back."""


class FeatureOutOfMemoryError(PiebenchError):
    """No place has room for a feature; those of a smaller batch may fit."""


class StoredFeature(Protocol):
    """A feature in its place."""

    @property
    def place(self) -> FeaturePlace:
        """Where it lies."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes that it has there."""
        ...

    def load(self, device: torch.device | None) -> torch.Tensor:
        """The feature on a device; if None, where it lies, or on the host if that is a file."""
        ...


class FeatureStore:
    """Puts features into the first place that has room.

    Copies to the host do not hold up the program: they are queued on the GPU's current stream, behind what
    computes the feature and before what follows. The same stream copies a feature back, so that it reads
    what has arrived. Whoever reads on the host, or on another stream, waits for the copy's event. The host's
    pinned memory is handed out in pieces, none of them twice; PyTorch takes a block back once all of its
    pieces are dropped, and gives it to others only when the copies that it knows of are done.

    Attributes:
        limits: how much goes where.
        held: bytes that lie in each place now; on disk only if there is a folder.
    """

    def __init__(self, limits: FeatureLimits):
        self.limits = limits
        self.held: dict[FeaturePlace, int] = {"device": 0, "host": 0}
        if limits.disk is not None:
            self.held["disk"] = 0
        self._pinned = _PinnedPieces(limits.host)
        self._files: dict[int, IO[bytes]] = {}

    def put(self, feature: torch.Tensor, step: int) -> StoredFeature:
        """Copy a feature into a place.

        Args:
            feature: on any device.
            step: the step that it is dropped with.

        Raises:
            FeatureOutOfMemoryError: no place has room.
            PiebenchError: the folder on disk cannot be written to.
        """
        place = self._place(feature)
        stored: StoredFeature
        if place == "disk":
            stored = self._written(feature, step)
        elif place == "host" and feature.device.type == "cuda":
            stored = self._copied_to_host(feature)
        else:  # a view would keep the projections of all three alive
            stored = _InMemory(place, feature.to("cpu", copy=True) if place == "host" else feature.clone())
        self.held[place] += stored.nbytes
        return stored

    def drop(self, step: int, features: list[StoredFeature]) -> None:
        """Forget all features of a step; its file is gone with them."""
        for feature in features:
            self.held[feature.place] -= feature.nbytes
        if (file := self._files.pop(step, None)) is not None:
            with suppress(OSError):  # what a full disk has not taken is tried again, and gone all the same
                file.close()

    def _place(self, feature: torch.Tensor) -> FeaturePlace:
        first: tuple[FeaturePlace, ...] = ("host",) if feature.device.type == "cpu" else ("device", "host")
        for place in first:
            limit = self.limits.host if place == "host" else self.limits.device
            if limit is None or self.held[place] + feature.nbytes <= limit:
                return place
        if self.limits.disk is not None:
            return "disk"
        raise FeatureOutOfMemoryError(
            f"the inversion's features need more than {bytes_text(sum(self.held.values()))}, all that "
            f"{FEATURE_OPTION} allows; name a folder for the rest: {FEATURE_OPTION} disk=FOLDER"
        )

    def _copied_to_host(self, feature: torch.Tensor) -> StoredFeature:
        import torch

        host = self._pinned.take(feature).copy_(feature, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(feature.device))
        return _InMemory("host", host, copied)

    def _written(self, feature: torch.Tensor, step: int) -> StoredFeature:
        import torch

        assert self.limits.disk is not None
        folder, content = self.limits.disk, feature.detach().to("cpu").contiguous()
        try:
            if (file := self._files.get(step)) is None:
                folder.mkdir(parents=True, exist_ok=True)
                # Without a name: the system removes it with this process, however that ends.
                file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it is closed when the step is dropped)
                self._files[step] = file
            offset = file.seek(0, 2)
            file.write(content.flatten().view(torch.uint8).numpy().data)
            file.flush()
        except OSError as error:
            raise PiebenchError(
                f"{FEATURE_OPTION} disk={folder}: cannot be written to ({error.strerror}); free space there, "
                "or name another folder"
            ) from error
        return _InFile(file, offset, feature.shape, feature.dtype)


class _PinnedPieces:
    """Pinned memory in pieces of larger blocks, since PyTorch rounds a block up to a power of two."""

    def __init__(self, limit: int | None) -> None:
        self._block = _BLOCK if limit is None else min(_BLOCK, 1 << max(1, limit).bit_length() - 1)
        self._left: torch.Tensor | None = None

    def take(self, like: torch.Tensor) -> torch.Tensor:
        """Room for a tensor of this shape and type."""
        import torch

        length = like.nbytes + -like.nbytes % 64  # pieces begin where any type may
        if self._left is None or self._left.nbytes < length:
            self._left = torch.empty(max(self._block, length), dtype=torch.uint8, pin_memory=True)
        piece, self._left = self._left[: like.nbytes], self._left[length:]
        return piece.view(like.dtype).view(like.shape)


@dataclass(frozen=True)
class _InMemory:
    """A copy on the GPU or in the host's memory; ``copied`` happens when it has arrived."""

    place: FeaturePlace
    tensor: torch.Tensor
    copied: Any = None

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes

    def load(self, device: torch.device | None) -> torch.Tensor:
        if self.copied is not None:
            if device is None or device.type != "cuda":
                self.copied.synchronize()
            else:
                import torch

                torch.cuda.current_stream(device).wait_event(self.copied)
        return self.tensor if device is None else self.tensor.to(device, non_blocking=self.copied is not None)


@dataclass(frozen=True)
class _InFile:
    """A copy's bytes in a file."""

    file: IO[bytes]
    offset: int
    shape: torch.Size
    dtype: torch.dtype
    place: FeaturePlace = "disk"

    @property
    def nbytes(self) -> int:
        return self.shape.numel() * self.dtype.itemsize

    def load(self, device: torch.device | None) -> torch.Tensor:
        import torch

        content = torch.empty(self.nbytes, dtype=torch.uint8)
        self.file.seek(self.offset)
        self.file.readinto(content.numpy().data)  # type: ignore[attr-defined]
        feature = content.view(self.dtype).view(self.shape)
        return feature if device is None else feature.to(device)
