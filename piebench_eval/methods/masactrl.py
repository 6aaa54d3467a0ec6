"""MasaCtrl: the target branch's self-attention reads the source's keys and values.

In joint attention, for which its authors published nothing, it reads those of the image's positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from piebench_eval.data.prompts import dropped_word_notes, split_punctuation
from piebench_eval.diffusion import words
from piebench_eval.diffusion.attention_store import AttentionStore
from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.methods.family_layers import missing_layer_notes, number_of_layers, of_family, sharing_kind
from piebench_eval.methods.same_half import SAME_HALF, image_from_source
from piebench_eval.models.attention import attention_maps
from piebench_eval.quirks import SettingsWithQuirks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.rows import RowBatch
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import Family


class MasaCtrlSettings(SettingsWithQuirks):
    """Settings of MasaCtrl; the defaults are its own and the Direct Inversion paper's."""

    start_step: int = Field(
        default=4, ge=0, description="first step that looks at the source, whatever the number of steps (S)"
    )
    start_layer: int | None = Field(
        default=None,
        ge=0,
        description="first self-attention that does, counted over the whole UNet (L), or first joint "
        "attention; if empty, 10 of Stable Diffusion 1.x's 16, 44 of XL's 70, the first of the layers that "
        "its authors try there (run_synthesis_sdxl.py), and the second half of all joint attentions, our own "
        "choice, since nobody published one",
    )
    source_prompt: Literal["empty", "sample"] = Field(
        default="empty",
        description="prompt of inversion and source branch: empty as in the paper, or the sample's",
    )
    mask_guided: bool = Field(
        default=False,
        description="the blended word's foreground looks at the source's foreground only, background at "
        "background; needs source_prompt=sample, and a UNet",
    )
    mask_threshold: float = Field(
        default=0.1, ge=0, le=1, description="a place is foreground above this share of the map's range"
    )
    mask_downsampling: int = Field(
        default=4, ge=1, description="masks come from cross-attention maps of this downsampling of the latent"
    )

    @model_validator(mode="after")
    def _masks_need_words(self) -> Self:
        if self.mask_guided and self.source_prompt == "empty":
            raise ValueError("mask_guided finds a word in the source prompt; set source_prompt=sample too")
        return self


START_LAYERS = {"sd1": 10, "instaflow": 10, "lcm": 10, "sdxl": 44}
"""By family, the first self-attention that looks at the source: the authors' own (TencentARC/MasaCtrl)."""


def family_problem(settings: MasaCtrlSettings, family: Family) -> str | None:
    """Masks come from cross-attention maps, and replace all keys of a layer: what joint attention has not."""
    if settings.mask_guided and "cross" not in family.attention:
        return (
            f"method.mask_guided=true: masks come from cross-attention, and {family.title} has "
            f"{'- and '.join(family.attention)}-attention; leave it at false"
        )
    return None


def prompts(sample: Sample, settings: MasaCtrlSettings) -> Prompts:
    """The source prompt is empty, at inversion and after it, unless the settings say otherwise."""
    source = "" if settings.source_prompt == "empty" else sample.source_prompt
    target = sample.target_prompt
    if settings.quirks.split_punctuation:
        source, target = split_punctuation(source), split_punctuation(target)
    return Prompts(inversion=source, source=source, target=target)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: MasaCtrlSettings
) -> PreparedController:
    """Find the words of the masks, if any, and set up the controller of a batch."""
    import torch

    start_layer = first_layer(settings.start_layer, model)
    of_layer = missing_layer_notes("start_layer", start_layer, model)
    notes, found = [], {}
    for place, sample in enumerate(samples):
        texts = prompts(sample, settings)
        branches = {"source": texts.source, "target": texts.target}
        notes.append(words.truncation_notes(branches, model.text_tokenizers) + of_layer)
        if settings.mask_guided:
            notes[place] += dropped_word_notes(sample.blended_word)
            masked = _mask_words(sample, texts, model.tokenizer)
            if masked.any(axis=1).all():
                found[place] = torch.from_numpy(masked)
            else:
                notes[place].append("edited without masks, since a blended word is not in its prompt")
    of_words = torch.stack(list(found.values())).to(model.device) if found else torch.empty(0)
    controller = MasaCtrlController(
        len(samples), AttentionStore(list(found), of_words), settings, start_layer
    )
    return PreparedController(controller, notes)


def first_layer(setting: int | None, model: DiffusionModel) -> int:
    """``start_layer`` as a recipe says it, or the family's, or the middle of a transformer."""
    if setting is None and sharing_kind(model.family) == "joint":
        return number_of_layers(model) // 2
    return of_family("start_layer", setting, START_LAYERS, model.family)


def _mask_words(sample: Sample, texts: Prompts, tokenizer: Any) -> NDArray[np.float32]:
    """1 at the tokens of the blended word, ``[2, tokens]`` (source, target)."""
    masked = np.zeros((2, tokenizer.model_max_length), dtype=np.float32)
    pairs = zip((texts.source, texts.target), sample.blend_words or (), strict=False)
    for branch, (prompt, word) in enumerate(pairs):
        masked[branch, words.tokens_of_word(prompt, word, tokenizer)] = 1
    return masked


class MasaCtrlController(AttentionController):
    """MasaCtrl in the edit loop.

    Attributes:
        word_maps: where the foreground's words are, for the samples that are edited with masks.
        settings: the method's section of the recipe.
        start_layer: its ``start_layer``, or the default of the model's family.
    """

    leaves_source = True

    def __init__(
        self, num_samples: int, word_maps: AttentionStore, settings: MasaCtrlSettings, start_layer: int
    ):
        super().__init__(num_samples)
        self.word_maps = word_maps
        self.settings = settings
        self.start_layer = start_layer

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves, each for the same half of the target."""
        looking = step >= self.settings.start_step
        return [SourceReads(uncond=looking, cond=looking)] * self.num_samples

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """Self- or joint attention from layer L on, and cross-attention that masks are made of."""
        return self._masks_by(layer) if layer.kind == "cross" else layer.index >= self.start_layer

    def begin_step(self, step: int, rows: RowBatch, latent_shape: tuple[int, int], stage: int = 0) -> None:
        """Drop the maps of the step before: masks are those of the step itself."""
        super().begin_step(step, rows, latent_shape, stage)
        self.word_maps.forget()

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Show the target's foreground, as the step's last layers had it."""
        if self.observer is not None and self.word_maps.attention is not None:
            found = foreground(self.word_maps.attention, self.settings.mask_threshold)
            self.note_mask(self.word_maps.samples, found[:, 1:])
        return target

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention of the target's queries to the source's keys and values, from step S and layer L on.

        In joint attention these are the image's; the text's stay the target's own.
        """
        if self.step >= self.settings.start_step and self.reads_layer(self.step, layer):
            if layer.kind != "cross":
                return self._mutual(layer, query, key, value)
            self._collect(layer, query, key)
        return self.own_attention(layer, query, key, value)

    def _mutual(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        key, value = (
            image_from_source(states, layer, self.rows, self.num_samples) for states in (key, value)
        )
        attended = self.own_attention(layer, query, key, value)
        if self.word_maps.attention is not None:
            masks = self._masks(self.word_maps.attention, layer.grid)
            for _, target in SAME_HALF:
                if target in self.rows.samples_by_row:
                    masked = self.rows.index(target, self.word_maps.samples)
                    attended[masked] = masked_attention(query[masked], key[masked], value[masked], *masks)
        return attended

    def _collect(self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor) -> None:
        source, target = (
            self.rows.index(row, self.word_maps.samples) for row in (Row.SOURCE_COND, Row.TARGET_COND)
        )
        self.word_maps.collect(
            attention_maps(query[source], key[source]),
            attention_maps(query[target], key[target]),
            *layer.grid,
        )

    def _masks_by(self, layer: AttentionLayer) -> bool:
        return bool(self.word_maps.samples) and layer.downsampling == self.settings.mask_downsampling

    def _masks(self, maps: torch.Tensor, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Foreground of source and target on a layer's grid, each ``[samples, positions]``."""
        from torch.nn import functional

        found = foreground(maps, self.settings.mask_threshold)
        masks = functional.interpolate(found.float(), size=grid).flatten(2).bool()
        return masks[:, 0], masks[:, 1]


def foreground(maps: torch.Tensor, threshold: float) -> torch.Tensor:
    """Where words are: their maps above a share of their range.

    Args:
        maps: ``[samples, 2, height, width]``.
        threshold: share of the way from a map's minimum to its maximum.

    >>> import torch
    >>> foreground(torch.tensor([[[[1.0, 2.0], [1.5, 5.0]]]]), 0.2).int()
    tensor([[[[0, 1],
              [0, 1]]]], dtype=torch.int32)
    """
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (maps - low) > threshold * (high - low)


def masked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    source_mask: torch.Tensor,
    target_mask: torch.Tensor,
) -> torch.Tensor:
    """Foreground attends to foreground and background to background (equations 8 to 10).

    Args:
        query: the target's ``[samples, heads, positions, width]``.
        key: the source's, same shape.
        value: the source's, same shape.
        source_mask: the source's foreground ``[samples, positions]``.
        target_mask: the target's foreground, same shape.

    Returns:
        As ``query``. Where the source has nothing of a kind, positions of that kind attend to all of it.
    """

    import torch
    from torch.nn import functional

    def attend_to(kind: torch.Tensor) -> torch.Tensor:
        seen = kind | ~kind.any(dim=1, keepdim=True)  # the same keys for every position: no map of masks
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None])

    return torch.where(target_mask[:, None, :, None], attend_to(source_mask), attend_to(~source_mask))


MASACTRL = Method(
    title="MasaCtrl",
    paper="Cao et al., MasaCtrl: Tuning-Free Mutual Self-Attention Control for Consistent Image Synthesis "
    "and Editing, ICCV 2023",
    equation="mutual self-attention from step S and layer L on; with masks, equations 8 to 10",
    settings=MasaCtrlSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(("self", "cross"), ("joint",)),
    family_problem=family_problem,
)
