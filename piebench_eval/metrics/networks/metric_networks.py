"""The networks of the metrics, each loaded once."""

from __future__ import annotations

import contextlib
from functools import cache, cached_property
from typing import TYPE_CHECKING

import torch

from piebench_eval.demo.embedded import locate
from piebench_eval.metrics.networks.clip import Clip, load_clip
from piebench_eval.metrics.networks.dino import StructureFeatures
from piebench_eval.metrics.networks.lpips import PerceptualFeatures
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.models.allocator import keep_freed_memory
from piebench_eval.models.precision import use_exact_float32

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from piebench_eval.metrics.networks.metric_models import MetricModels
    from piebench_eval.metrics.protocol import Protocol


class MetricNetworks:
    """The metrics' networks on a device, each loaded on first use.

    Attributes:
        device: the device.
        batch_size: images per forward pass.
    """

    def __init__(
        self,
        models: MetricModels,
        device: torch.device,
        batch_size: int = 8,
        precision: str = "fp32",
        allow_pickle: bool = False,
    ):
        """Load nothing yet.

        Args:
            models: names of the networks.
            device: the device to load them on.
            batch_size: images per forward pass.
            precision: ``fp32`` or ``bf16``, which the networks compute in; scores are computed from their
                features in float32.
            allow_pickle: accept weights in pickle files, see ``piebench_eval.models.weights``.
        """
        use_exact_float32()
        if device.type == "cpu":
            keep_freed_memory()
        self.device, self.batch_size = device, batch_size
        self._models, self._precision, self._allow_pickle = models, precision, allow_pickle
        self.lpips = cache(self._load_lpips)
        self.clip = cache(self._load_clip)

    @cached_property
    def dino(self) -> StructureFeatures:
        """The ViT of the structure distance."""
        return StructureFeatures(locate("dino", self._models.dino), self.device, self._allow_pickle)

    def load(self, roles: Iterable[str], protocol: Protocol = PAPER) -> None:
        """Load networks now, so that errors come before anything is scored.

        Args:
            roles: fields of ``MetricModels``.
            protocol: the protocol, which may name another CLIP.

        Raises:
            PiebenchError: a network cannot be loaded.
        """
        for role in roles:
            if role == "dino":
                _ = self.dino
            elif role == "clip":
                self.clip(protocol.clip.network, protocol.clip.activation)
            else:
                self.lpips(role)

    def autocast(self) -> AbstractContextManager[object]:
        """The autocast context of the networks' precision."""
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _load_lpips(self, role: str) -> PerceptualFeatures:
        weights = locate(role, getattr(self._models, role))
        return PerceptualFeatures(role, weights, self.device, self._allow_pickle)

    def _load_clip(self, network: str | None, activation: str) -> Clip:
        name = locate("clip", network or self._models.clip)
        return load_clip(name, activation, self.device, self._allow_pickle)
