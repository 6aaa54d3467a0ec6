"""Feature sharing: sampling finds the inversion's queries, keys or values (RF-Solver-Edit, FireFlow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.features import Feature, FeatureMemory
from piebench_eval.diffusion.rows import Row
from piebench_eval.methods.base import Method, PreparedController, notes_on_prompts, prompts_of_sample
from piebench_eval.models.attention import plain_attention
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel

Operation = Literal["replace_q", "replace_k", "replace_v", "add_q", "add_k", "add_v"]

_FEATURES: dict[str, Feature] = {"q": "query", "k": "key", "v": "value"}


class FeatureSharingSettings(Settings):
    """Settings of feature sharing, by the names of the published codes; the defaults are RF-Solver-Edit's."""

    inject: int = Field(
        default=2,
        ge=0,
        description="how many steps share, those next to the noise, in the inversion and in sampling",
    )
    editing_strategy: list[Operation] = Field(
        default=["replace_v"],
        description="what is done with the inversion's queries, keys and values; replacing comes before "
        "adding",
    )
    first_layer: int = Field(
        default=20,
        ge=0,
        description="first layer that shares, counted over FLUX's single-stream blocks; over all joint "
        "attentions of a model without any",
    )
    last_layer: int | None = Field(default=None, ge=0, description="last layer that does; the last if empty")
    tokens: Literal["all", "image"] = Field(
        default="all", description="share the text's tokens too, as published, or the image's alone"
    )
    query_ratio: float = Field(default=1.0, description="factor on the inversion's queries")
    key_ratio: float = Field(default=1.0, description="factor on its keys")
    value_ratio: float = Field(default=1.0, description="factor on its values")

    @field_validator("editing_strategy")
    @classmethod
    def _once_each(cls, value: list[Operation]) -> list[Operation]:
        if len(set(value)) < len(value):
            raise ValueError("names an operation twice")
        return value

    @property
    def operations(self) -> Mapping[Feature, list[str]]:
        """By feature what is done with it, replacing first."""
        found: dict[Feature, list[str]] = {}
        for operation in sorted(self.editing_strategy, reverse=True):
            what, _, letter = operation.partition("_")
            found.setdefault(_FEATURES[letter], []).append(what)
        return found

    @property
    def ratios(self) -> Mapping[Feature, float]:
        """By feature the factor on the inversion's."""
        return {"query": self.query_ratio, "key": self.key_ratio, "value": self.value_ratio}


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: FeatureSharingSettings
) -> PreparedController:
    """Set up the memory and the controller of a batch."""
    notes = notes_on_prompts([prompts_of_sample(sample, settings) for sample in samples], model)
    controller = FeatureSharingController(len(samples), settings, model.family.single_stream)
    return PreparedController(controller, notes)


class FeatureSharingController(AttentionController):
    """Feature sharing in the edit loop.

    Rotary embeddings turn the queries and keys of a place of the sequence alike, so that what is replaced or
    added behind them is what the published codes replace or add before.

    Attributes:
        settings: the method's section of the recipe.
        single_stream: layers are counted over single-stream blocks, and no others share.
        features: what is kept of the inversion.
    """

    def __init__(self, num_samples: int, settings: FeatureSharingSettings, single_stream: bool):
        super().__init__(num_samples)
        self.settings, self.single_stream = settings, single_stream
        self.memory = FeatureMemory(self._shares, settings.inject, list(settings.operations))
        self.features = self.memory

    def begin_edit(self, inverted: InversionResult) -> None:
        """Note the solver, whose evaluations are counted from a step's last."""
        self.inverted = inverted

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention of the target's rows with the inversion's features; what is not kept is not shared."""
        if self._shares(layer) and self.level in self.memory.levels:
            query = self._shared("query", layer, query)
            key, value = self._shared("key", layer, key), self._shared("value", layer, value)
        return plain_attention(query, key, value)

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Drop what was kept for the step."""
        self.memory.forget(self.level)
        return target

    def _shares(self, layer: AttentionLayer) -> bool:
        number = layer.single if self.single_stream else layer.index
        if layer.kind != "joint" or number is None:
            return False
        last = self.settings.last_layer
        return self.settings.first_layer <= number and (last is None or number <= last)

    def _shared(self, name: Feature, layer: AttentionLayer, states: torch.Tensor) -> torch.Tensor:
        """Queries, keys or values of all rows, the target's with the inversion's."""
        operations = self.settings.operations.get(name, [])
        evaluation = self.stage - self.inverted.solver.stages_at(self.level, self.inverted.steps)
        kept = self.memory.read(self.level, evaluation, layer, name, states.device) if operations else None
        if kept is None:
            return states
        kept = kept.to(states.dtype) * self.settings.ratios[name]
        places = slice(None) if self.settings.tokens == "all" else layer.image
        states, everyone = states.clone(), range(self.num_samples)
        for row in (Row.TARGET_UNCOND, Row.TARGET_COND):
            if row in self.rows.samples_by_row:
                index = self.rows.index(row, everyone)
                for operation in operations:
                    own = 0 if operation == "replace" else states[index, :, places]
                    states[index, :, places] = own + kept[:, :, places]
        return states


FEATURE_SHARING = Method(
    title="Feature sharing",
    paper="Wang et al., Taming Rectified Flow for Inversion and Editing, ICML 2025; Deng et al., FireFlow, "
    "ICML 2025",
    equation="RF-Edit's values of the inversion, and FireFlow's strategies",
    settings=FeatureSharingSettings,
    prepare=prepare,
    attention=(("joint",),),
    predicts=("velocity",),
    reads_inversion=True,
)
