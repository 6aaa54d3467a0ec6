"""Value sharing: where the target branch attends to the image, it finds the source's values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import SourceReads
from piebench_eval.methods.base import Method, PreparedController, notes_on_prompts, prompts_of_sample
from piebench_eval.methods.family_layers import missing_layer_notes, number_of_layers
from piebench_eval.methods.same_half import image_from_source
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel


class ValueSharingSettings(Settings):
    """Settings of value sharing; nobody published any for a source branch beside the target's."""

    value_steps: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="share of the steps, the noisiest first, that take the source's values",
    )
    first_layer: int | None = Field(
        default=None,
        ge=0,
        description="first layer that does, counted over all joint attentions, or a UNet's self-attentions; "
        "if empty, the first of the second half",
    )
    last_layer: int | None = Field(
        default=None, ge=0, description="last layer that does; the model's last if empty"
    )

    @model_validator(mode="after")
    def _layers_ascend(self) -> Self:
        first, last = self.first_layer or 0, self.last_layer
        if last is not None and first > last:
            raise ValueError(f"last_layer: {last} is before first_layer, {first}")
        return self


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: ValueSharingSettings
) -> PreparedController:
    """Choose the layers and steps of a batch; the samples differ in their prompts alone."""
    first = settings.first_layer
    if first is None:
        first = number_of_layers(model) // 2
    controller = ValueSharingController(
        len(samples), int(settings.value_steps * steps), first, settings.last_layer
    )
    of_layer = missing_layer_notes("first_layer", first, model)
    notes = notes_on_prompts([prompts_of_sample(sample, settings) for sample in samples], model)
    return PreparedController(controller, [of_sample + of_layer for of_sample in notes])


class ValueSharingController(AttentionController):
    """Value sharing in the edit loop.

    Attributes:
        value_steps: values are taken in steps ``0 .. value_steps - 1``.
        first_layer: the first layer whose values are taken.
        last_layer: the last; the model's own if None.
    """

    leaves_source = True

    def __init__(self, num_samples: int, value_steps: int, first_layer: int, last_layer: int | None):
        super().__init__(num_samples)
        self.value_steps = value_steps
        self.first_layer = first_layer
        self.last_layer = last_layer

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves, each for the same half of the target."""
        sharing = step < self.value_steps
        return [SourceReads(uncond=sharing, cond=sharing)] * self.num_samples

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """The values of the chosen layers."""
        return layer.kind != "cross" and self._shares(layer.index)

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention by the target's own queries and keys, to the source's values of the image."""
        if self.step < self.value_steps and self.reads_layer(self.step, layer):
            value = image_from_source(value, layer, self.rows, self.num_samples)
        return self.own_attention(layer, query, key, value)

    def _shares(self, layer: int) -> bool:
        return self.first_layer <= layer and (self.last_layer is None or layer <= self.last_layer)


VALUE_SHARING = Method(
    title="Value sharing",
    paper="Wang et al., Taming Rectified Flow for Inversion and Editing, ICML 2025",
    equation="feature sharing of RF-Solver-Edit, of the image's values alone and from a source branch at the "
    "same level; the published one shares all values, the text's too, kept from the inversion",
    settings=ValueSharingSettings,
    prepare=prepare,
    attention=(("joint",), ("self",)),
)
