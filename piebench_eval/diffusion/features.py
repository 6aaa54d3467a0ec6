"""Features of an inversion's attention, kept for the same places of sampling (RF-Solver-Edit, FireFlow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from piebench_eval.diffusion.feature_limits import FeatureLimits, FeaturePlace
from piebench_eval.diffusion.feature_store import FeatureStore
from piebench_eval.models.attention import plain_attention

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import torch

    from piebench_eval.diffusion.feature_store import StoredFeature
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
    """

    def __init__(
        self,
        keeps_layer: Callable[[AttentionLayer], bool],
        steps: int,
        features: Collection[Feature],
        limits: FeatureLimits | None = None,
    ):
        self.keeps_layer = keeps_layer
        self.steps = steps
        self.levels = range(0)
        self.features = features
        self._store = FeatureStore(limits or FeatureLimits())
        self._steps: dict[int, list[dict[tuple[str, int, Feature], StoredFeature]]] = {}
        self._level = 0

    @property
    def held(self) -> dict[FeaturePlace, int]:
        """Bytes that are kept now, by place."""
        return self._store.held

    @property
    def evaluations(self) -> int:
        """How many evaluations are kept now."""
        return sum(map(len, self._steps.values()))

    def keep_within(self, limits: FeatureLimits) -> None:
        """Say how much goes where, before the inversion; without limits, features stay where they are."""
        self.clear()
        self._store = FeatureStore(limits)

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
                    kept[place] = self._store.put(found[name], self._level)
        return plain_attention(query, key, value)

    def read(
        self,
        level: int,
        evaluation: int,
        layer: AttentionLayer,
        feature: Feature,
        device: torch.device | None = None,
    ) -> torch.Tensor | None:
        """What was kept at a place; None if nothing.

        Args:
            level: the upper level of the step.
            evaluation: counted from the step's last, -1.
            layer: the layer.
            feature: which feature.
            device: where to read it; where it lies if None.
        """
        evaluations = self._steps.get(level, [])
        if -evaluation > len(evaluations):
            return None
        stored = evaluations[evaluation].get((layer.kind, layer.index, feature))
        return None if stored is None else stored.load(device)

    def forget(self, level: int) -> None:
        """Drop what was kept of the step below a level."""
        evaluations = self._steps.pop(level, [])
        self._store.drop(level, [stored for kept in evaluations for stored in kept.values()])

    def clear(self) -> None:
        """Drop everything."""
        for level in list(self._steps):
            self.forget(level)
