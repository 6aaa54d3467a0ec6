"""InfEdit's unified attention control: a third branch takes the source's look into the target's layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from piebench_eval.data.prompts import dropped_word_notes, missing_word_note
from piebench_eval.diffusion import words
from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.rows import Row, SourceReads
from piebench_eval.diffusion.word_pairs import cosine_similarity, pair_unaligned
from piebench_eval.diffusion.word_region import WordRegion
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.methods.p2p import CrossAttentionEdit
from piebench_eval.models.attention import attention_maps
from piebench_eval.quirks import SettingsWithQuirks
from piebench_eval.tensors import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.attention import AttentionLayer
    from piebench_eval.models.base import DiffusionModel

_NOISY_THRESHOLD = 0.15
"""The published code's local blend asks for at least this much over the image's share in the latents."""


class InfEditSettings(SettingsWithQuirks):
    """Settings of unified attention control; the defaults are those of its PIE-Bench script."""

    cross_replace_steps: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="share of the steps in which the target takes the mutual branch's cross-attention",
    )
    self_replace_steps: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="share of the steps in which all branches have the source's layout; then the mutual "
        "branch has the target's, with the source's keys and values",
    )
    local_blend: bool = Field(
        default=True, description="keep the mutual branch outside the target's blended word"
    )
    blend_threshold: float = Field(
        default=0.55,
        ge=0,
        le=1,
        description="share of a map's maximum above which a place belongs to the word; more while latents "
        "are noisy",
    )
    blend_downsampling: int = Field(
        default=4,
        ge=1,
        description="cross-attention maps of this downsampling of the latent are blended with",
    )


def prompts(sample: Sample, settings: InfEditSettings) -> Prompts:
    """The sample's own prompts."""
    if settings.quirks.keep_brackets:
        source, target = sample.marked_source_prompt, sample.marked_target_prompt
    else:
        source, target = sample.source_prompt, sample.target_prompt
    return Prompts(source, source, target)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: InfEditSettings
) -> PreparedController:
    """Align the words of every sample's prompts and set up the controller of a batch."""
    import torch

    plans = [plan_words(sample, model, settings) for sample in samples]
    blended = [place for place, plan in enumerate(plans) if plan.blends]

    def stack(arrays: Sequence[Any]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(array) for array in arrays]).to(model.device)

    edit = CrossAttentionEdit(
        matrix=stack([words.refinement_matrix(plan.mapper) for plan in plans]),
        use_source_map=stack([plan.use_mutual_map for plan in plans]),
        equalizer=stack([np.ones_like(plan.use_mutual_map) for plan in plans]),
    )
    word = stack([plans[place].word for place in blended]) if blended else torch.empty(0)
    controller = UnifiedAttentionController(steps, edit, WordRegion(blended, word), settings)
    return PreparedController(controller, [plan.notes for plan in plans])


@dataclass(frozen=True)
class WordPlan:
    """What the prompts of one sample ask of the attention maps.

    Attributes:
        mapper: for each target position its source position, -1 where it has none, ``[tokens]``.
        use_mutual_map: 1 where a target token takes the mutual branch's map, ``[tokens]``, float32.
        word: 1 at the target's tokens of the blended word, ``[tokens]``, float32.
        blends: whether there is a local blend.
        notes: what the user should know.
    """

    mapper: Any
    use_mutual_map: Any
    word: Any
    blends: bool
    notes: list[str]


def plan_words(sample: Sample, model: DiffusionModel, settings: InfEditSettings) -> WordPlan:
    """Align a sample's prompts, pair the words that are left over, and find the target's blended word."""
    texts, tokenizer = prompts(sample, settings), model.tokenizer
    notes = words.truncation_notes({"source": texts.source, "target": texts.target}, model.text_tokenizers)
    source, target = (words.token_ids(text, tokenizer) for text in (texts.source, texts.target))
    mapper, use_mutual_map = words.refinement_alignment(source, target, tokenizer.model_max_length)
    local = sample.blend_words[1] if sample.blend_words else ""
    wanted = words.token_ids(local, tokenizer)[1:-1]
    word = _marked_in_order(target, wanted, len(mapper))
    found = bool(word.any())
    for place, counterpart in pair_unaligned(mapper, len(target), _similarity(texts, model, settings)):
        mapper[place], use_mutual_map[place] = counterpart, 1
        if source[counterpart] in wanted:
            word[place] = 1
    asked = settings.local_blend and bool(wanted)
    reconstructs = settings.quirks.lost_blend_word == "reconstruct"
    if asked:
        notes += dropped_word_notes(sample.blended_word)
        if not found:
            notes.append(missing_word_note(local, texts.target, texts.source))
            ends = "blended with an empty mask" if reconstructs else "edited without local blend"
            notes.append(f"{ends}, since the target's blended word was not found")
    return WordPlan(mapper, use_mutual_map, word, asked and (found or reconstructs), notes)


def _similarity(texts: Prompts, model: DiffusionModel, settings: InfEditSettings) -> Any:
    """How alike the text encoder finds target positions (rows) and source positions."""
    source, target = model.embed_prompts([texts.source, texts.target]).tokens
    return (
        cosine_similarity(source, target)
        if settings.quirks.swapped_states
        else cosine_similarity(target, source)
    )


def _marked_in_order(ids: Sequence[int], wanted: Sequence[int], length: int) -> Any:
    """1 where a prompt has a word's tokens, one after the other: at the first place of each."""
    marked, left = np.zeros(length, dtype=np.float32), list(wanted)
    for place, token in enumerate(ids):
        if left and token == left[0]:
            marked[place] = 1
            left.pop(0)
    return marked


_HALVES = (
    (Row.SOURCE_UNCOND, Row.TARGET_UNCOND, Row.MUTUAL_UNCOND),
    (Row.SOURCE_COND, Row.TARGET_COND, Row.MUTUAL_COND),
)


class UnifiedAttentionController(AttentionController):
    """Unified attention control in the edit loop.

    Attributes:
        steps: number of steps that shares are of.
        edit: how the target's cross-attention follows from the mutual branch's.
        region: where the blended word is, over the samples that have one.
        settings: the method's section of the recipe.
    """

    leaves_source = True
    mutual_branch = True

    def __init__(self, steps: int, edit: CrossAttentionEdit, region: WordRegion, settings: InfEditSettings):
        super().__init__(num_samples=len(edit.use_source_map))
        self.steps = steps
        self.edit = edit
        self.region = region
        self.settings = settings
        self._level, self._signal = 0, 1.0

    def source_reads(self, step: int) -> list[SourceReads]:
        """Both halves, while the target has the source's layout."""
        layout = self._has_sources_layout(step)
        return [SourceReads(uncond=layout, cond=layout)] * self.num_samples

    def mutual_reads(self, step: int) -> list[SourceReads]:
        """Cross-attention, by the target or by the blend, and the latents that are blended with."""
        replaces, blended = self._replaces(step), set(self.region.samples)
        last = self.steps - 2  # the edit ends at the last step's image as it is
        collects = step <= last and last >= 1
        return [
            SourceReads(
                cond=replaces or (collects and sample in blended),
                latent=collects and step >= 1 and sample in blended,
            )
            for sample in range(self.num_samples)
        ]

    def reads_layer(self, step: int, layer: AttentionLayer) -> bool:
        """Self-attention; cross-attention is the mutual branch's."""
        return layer.kind == "self"

    def attend(
        self, layer: AttentionLayer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attention in the phase that the step is in."""
        if layer.kind == "self":
            return self.own_attention(layer, *self._unified(query, key, value))
        attention, replaces = partial(self.own_attention, layer), self._replaces(self.step)
        samples, blended = self.rows.samples_by_row.get(Row.MUTUAL_COND, []), self.region.samples
        collects = bool(blended) and layer.downsampling == self.settings.blend_downsampling
        if not samples or not (collects or replaces):
            return attention(query, key, value)
        edit = self.edit.take(samples)
        mutual, target = (self.rows.index(row, samples) for row in (Row.MUTUAL_COND, Row.TARGET_COND))
        if replaces:
            attended = edit.attend(query, key, value, mutual, target, attention)
        else:
            attended = attention(query, key, value)
        if collects or self.observer is not None:
            refined = edit(*(attention_maps(query[rows], key[rows]) for rows in (mutual, target)))
            if replaces:
                self.note_maps(samples, refined)
            if collects:
                self.region.collect(take(refined, [samples.index(sample) for sample in blended]), *layer.grid)
        return attended

    def _unified(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Self-attention's inputs: the source's layout for all, then the target's for the mutual branch."""
        layout = self._has_sources_layout(self.step)
        query, key, value = query.clone(), key.clone(), value.clone()
        for half in _HALVES:
            if layout and (samples := self.rows.samples_by_row.get(half[1], [])):
                source, target = (self.rows.index(row, samples) for row in half[:2])
                query[target], key[target] = query[source], key[source]
            if samples := self.rows.samples_by_row.get(half[2], []):
                source, target, mutual = (self.rows.index(row, samples) for row in half)
                query[mutual] = query[target]  # the source's, while that is the layout
                key[mutual], value[mutual] = key[source], value[source]
        return query, key, value

    def after_prediction(
        self, latents: torch.Tensor, output: torch.Tensor, schedule: Schedule, level: int
    ) -> torch.Tensor:
        """Note how noisy the latents are."""
        self._level, self._signal = level, schedule.signal(level)
        return output

    def on_step_end(self, step: int, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Set the target to the mutual branch outside the word, after the first step and before the last."""
        import torch

        if not self.region.samples or step < 1 or self._level == 1 or self.mutual_latents is None:
            return target
        threshold = max(_NOISY_THRESHOLD / self._signal, self.settings.blend_threshold)
        height, width = target.shape[-2:]
        inside, index = self.region.mask(height, width, threshold), self.region.index
        self.note_mask(self.region.samples, inside)
        blended = torch.where(inside, target[index], self.mutual_latents[index])
        return target.index_copy(0, index, blended)

    def _has_sources_layout(self, step: int) -> bool:
        return (step + 1) / self.steps < self.settings.self_replace_steps

    def _replaces(self, step: int) -> bool:
        return (step + 1) / self.steps <= self.settings.cross_replace_steps


INFEDIT = Method(
    title="InfEdit (unified attention control)",
    paper="Xu et al., Inversion-Free Image Editing with Natural Language, CVPR 2024",
    equation="unified attention control: cross-attention, and self-attention of a third branch",
    settings=InfEditSettings,
    prepare=prepare,
    prompts=prompts,
)
