"""Features of an inversion's attention, kept for the same places of sampling (RF-Solver-Edit, FireFlow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from piebench_eval.models.attention import plain_attention

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import torch

    from piebench_eval.models.attention import AttentionLayer

Feature = Literal["query", "key", "value"]


class FeatureMemory:
    """Queries, keys and values of chosen layers in chosen steps, ``[samples, heads, positions, width]``.

    It is the attention hook of an inversion's evaluations. A place is the upper level of a step (where a
    step of the inversion leads to, and one of sampling from), an evaluation of that step, counted from its
    last, -1, and a layer: so the same stages of a solver meet, also where only the first step of a walk has
    one more evaluation, at its beginning.

    Attributes:
        keeps_layer: whether a layer's features are kept.
        steps: how many steps are kept, those next to the noise.
        levels: their upper levels; none before the inversion begins.
        features: which features.
        device_bytes: how much stays on the device; the rest goes to the host's memory.
        held: bytes that are kept now, on the device and on the host.
    """

    def __init__(
        self,
        keeps_layer: Callable[[AttentionLayer], bool],
        steps: int,
        features: Collection[Feature],
        device_bytes: int,
    ):
        self.keeps_layer = keeps_layer
        self.steps = steps
        self.levels = range(0)
        self.features = features
        self.device_bytes = device_bytes
        self.held = {"device": 0, "host": 0}
        self._steps: dict[int, list[dict[tuple[str, int, Feature], torch.Tensor]]] = {}
        self._level = 0

    def begin_inversion(self, levels: int) -> None:
        """Note how many levels an inversion leads up to."""
        self.levels = range(max(1, levels - self.steps + 1), levels + 1)

    def begin_evaluation(self, level: int) -> None:
        """Note that the coming call of the model is the next evaluation of the step up to a level."""
        self._level = level
        if level in self.levels:
            self._steps.setdefault(level, []).append({})

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Plain attention; what it is made of is kept, of the first call in an evaluation."""
        if self._level in self.levels and self.keeps_layer(layer):
            kept = self._steps[self._level][-1]
            found: dict[Feature, torch.Tensor] = {"query": query, "key": key, "value": value}
            for name in self.features:
                if (place := (layer.kind, layer.index, name)) not in kept:
                    kept[place] = self._stored(found[name])
        return plain_attention(query, key, value)

    def read(
        self, level: int, evaluation: int, layer: AttentionLayer, feature: Feature
    ) -> torch.Tensor | None:
        """What was kept at a place, on any device; None if nothing.

        Args:
            level: the upper level of the step.
            evaluation: counted from the step's last, -1.
            layer: the layer.
            feature: which feature.
        """
        evaluations = self._steps.get(level, [])
        if -evaluation > len(evaluations):
            return None
        return evaluations[evaluation].get((layer.kind, layer.index, feature))

    def forget(self, level: int) -> None:
        """Drop what was kept of the step below a level."""
        for kept in self._steps.pop(level, []):
            for tensor in kept.values():
                self.held[self._where(tensor)] -= tensor.nbytes

    def _stored(self, feature: torch.Tensor) -> torch.Tensor:
        import torch

        if feature.device.type != "cpu" and self.held["device"] + feature.nbytes > self.device_bytes:
            pinned = feature.device.type == "cuda"
            host = torch.empty(feature.shape, dtype=feature.dtype, pin_memory=pinned)
            stored = host.copy_(feature, non_blocking=True)
        else:
            stored = feature.clone()  # a view would keep the projections of all three alive
        self.held[self._where(stored)] += stored.nbytes
        return stored

    @staticmethod
    def _where(tensor: torch.Tensor) -> str:
        return "host" if tensor.device.type == "cpu" else "device"
