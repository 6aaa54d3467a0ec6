"""Plug-and-Play: the target branch takes over the source's features and self-attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.data.prompts import split_punctuation
from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.diffusion.words import truncation_notes
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.methods.family_layers import missing_layer_notes, of_family
from piebench_eval.models.attention import plain_attention
from piebench_eval.models.same_maps import attention_by_same_maps, maps_can_be_shared
from piebench_eval.quirks import SettingsWithQuirks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel


class PnPSettings(SettingsWithQuirks):
    """Settings of Plug-and-Play; the defaults are its own and the Direct Inversion paper's."""

    feature_steps: float = Field(
        default=0.8, ge=0, le=1, description="share of the steps that take the source's features (tau_f)"
    )
    attention_steps: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps that take its self-attention (tau_A)"
    )
    feature_module: str | None = Field(
        default=None,
        min_length=1,
        description="UNet module whose output is taken over as features; if empty, the second residual "
        "block of the decoder's first level with attention, before the shortcut is added: "
        "up_blocks.1.resnets.1.conv2 of Stable Diffusion 1.x, as published, and up_blocks.0.resnets.1.conv2 "
        "of XL, by analogy",
    )
    first_attention_layer: int | None = Field(
        default=None,
        ge=0,
        description="first self-attention that is taken over, counted over the whole UNet; if empty, all of "
        "the decoder's but those beside its first residual block: from 8 on of Stable Diffusion 1.x's 16, as "
        "published, and from 44 on of XL's 70, by analogy",
    )
    source_prompt: Literal["empty", "sample"] = Field(
        default="empty",
        description="prompt of the source branch: empty as in the paper, or the sample's; the inversion "
        "always has the sample's",
    )
    negative_prompt: str = Field(
        default="ugly, blurry, black, low res, unrealistic",
        description="what the target is guided away from; without effect where the guidance scale is an "
        "input of the model",
    )


FEATURE_MODULES = {
    **dict.fromkeys(("sd1", "instaflow", "lcm"), "up_blocks.1.resnets.1.conv2"),
    "sdxl": "up_blocks.0.resnets.1.conv2",
}
"""By family, the decoder's residual block that features are taken of, before the shortcut is added: its 4th
layer in Stable Diffusion 1.x (MichalGeyer/pnp-diffusers). In XL, for which the authors published nothing, the
same place: the 2nd block of the decoder's first level with attention, at a quarter of the latent's side."""

FIRST_ATTENTION_LAYERS = {"sd1": 8, "instaflow": 8, "lcm": 8, "sdxl": 44}
"""By family, the first self-attention that is taken over, counted over the whole UNet: the decoder's layers 4
to 11 in Stable Diffusion 1.x. In XL likewise those of ``up_blocks`` but ``up_blocks.0.attentions.0``."""


def prompts(sample: Sample, settings: PnPSettings) -> Prompts:
    """The source prompt inverts, but the branch that is copied from sees an empty one."""
    source, target, negative = sample.source_prompt, sample.target_prompt, settings.negative_prompt
    if settings.quirks.split_punctuation:
        source, target, negative = (split_punctuation(text) for text in (source, target, negative))
    branch = "" if settings.source_prompt == "empty" else source
    return Prompts(inversion=source, source=branch, target=target, negative=negative)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: PnPSettings
) -> PreparedController:
    """Set up the injection of a batch; the samples differ in their prompts alone."""
    module = of_family("feature_module", settings.feature_module, FEATURE_MODULES, model.family)
    layer = of_family(
        "first_attention_layer", settings.first_attention_layer, FIRST_ATTENTION_LAYERS, model.family
    )
    controller = PnPController(
        len(samples),
        feature_steps=int(settings.feature_steps * steps),
        attention_steps=int(settings.attention_steps * steps),
        feature_module=module,
        first_attention_layer=layer,
    )
    of_layer = missing_layer_notes("first_attention_layer", layer, model)
    texts = [prompts(sample, settings) for sample in samples]
    notes = [
        truncation_notes({"source": t.inversion, "target": t.target}, model.text_tokenizers) for t in texts
    ]
    return PreparedController(controller, [of_sample + of_layer for of_sample in notes])


class PnPController(AttentionController):
    """Plug-and-Play in the edit loop.

    Attributes:
        feature_steps: features are taken in steps ``0 .. feature_steps - 1``.
        attention_steps: queries and keys of self-attention, likewise.
        first_attention_layer: the first self-attention whose queries and keys are taken.
    """

    leaves_source = True

    def __init__(
        self,
        num_samples: int,
        feature_steps: int,
        attention_steps: int,
        feature_module: str,
        first_attention_layer: int,
    ):
        super().__init__(num_samples)
        self.hooked_modules = (feature_module,)
        self.first_attention_layer = first_attention_layer
        self.feature_steps = feature_steps
        self.attention_steps = attention_steps

    def source_reads(self, step: int) -> list[SourceReads]:
        """The conditional half, which both halves of the target take from."""
        injecting = step < max(self.feature_steps, self.attention_steps)
        return [SourceReads(cond=injecting)] * self.num_samples

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """The queries and keys of the decoder's self-attention."""
        taken_over = layer.kind == "self" and layer.index >= self.first_attention_layer
        return taken_over and step < self.attention_steps

    def reads_module(self, step: int, name: str) -> bool:
        """The features."""
        return step < self.feature_steps

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention of the target's values by the source's queries and keys, in the decoder's layers."""
        if not self.reads_layer(self.step, layer):
            return self.own_attention(layer, query, key, value)
        takers = self._rows_by_source_maps(layer)
        if not maps_can_be_shared(query, len(takers)):
            return self.own_attention(layer, self._from_source(query), self._from_source(key), value)
        source = self.rows.index(Row.SOURCE_COND, range(self.num_samples))
        attended = value.new_zeros(value.shape)
        of_takers = attention_by_same_maps(query[source], key[source], [value[rows] for rows in takers])
        for rows, of_rows in zip(takers, of_takers, strict=True):
            attended[rows] = of_rows
        if samples := self.rows.samples_by_row.get(Row.SOURCE_UNCOND):
            own = self.rows.index(Row.SOURCE_UNCOND, samples)
            attended[own] = plain_attention(query[own], key[own], value[own])
        return attended

    def _rows_by_source_maps(self, layer: AttentionLayer) -> list[torch.Tensor]:
        """The places of the rows that attend as the source's conditional row does, by kind, itself included.

        Without it where it ends.
        """
        left = self.rows if self.ended is None or self.ended.layer != layer else self.ended.left
        kinds = (Row.SOURCE_COND, Row.TARGET_UNCOND, Row.TARGET_COND)
        return [
            self.rows.index(kind, range(self.num_samples)) for kind in kinds if kind in left.samples_by_row
        ]

    def module_output(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Features whose target rows are the source's."""
        return self._from_source(output) if self.reads_module(self.step, name) else output

    def _from_source(self, states: torch.Tensor) -> torch.Tensor:
        """Overwrite both target rows of every sample with its source row: ``[rows, ...]``, same shape."""
        everyone = range(self.num_samples)
        source = self.rows.index(Row.SOURCE_COND, everyone)
        states = states.clone()
        for row in (Row.TARGET_UNCOND, Row.TARGET_COND):
            if row in self.rows.samples_by_row:
                states[self.rows.index(row, everyone)] = states[source]
        return states


PNP = Method(
    title="Plug-and-Play",
    paper="Tumanyan et al., Plug-and-Play Diffusion Features for Text-Driven Image-to-Image Translation, "
    "CVPR 2023",
    equation="section 4, algorithm 1",
    settings=PnPSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(("self",),),
)
