"""Prompt-to-Prompt: the target branch takes over the source's attention maps, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from piebench_eval.data.prompts import dropped_word_notes, missing_word_note, occurrences
from piebench_eval.diffusion import words
from piebench_eval.methods.base import Method, PreparedController
from piebench_eval.registry import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.local_blend import LocalBlend
    from piebench_eval.methods.p2p_controller import CrossAttentionEdit, StepRanges
    from piebench_eval.models.base import DiffusionModel


class P2PSettings(Settings):
    """Settings of Prompt-to-Prompt; the defaults are the Direct Inversion paper's."""

    controller: Literal["refine", "replace", "auto"] = Field(
        default="refine",
        description="how words are matched: refine aligns tokens, replace swaps word by word (same word "
        "count), auto replaces where the counts agree and refines elsewhere",
    )
    cross_replace_steps: float = Field(
        default=0.4, ge=0, le=1, description="share of the steps that take the source's cross-attention"
    )
    self_replace_steps: float = Field(
        default=0.6, ge=0, le=1, description="share of the steps that take the source's self-attention"
    )
    self_replace_downsampling: int = Field(
        default=2,
        ge=1,
        description="self-attention is taken where the latent is downsampled at least this much",
    )
    blend_word_weight: float = Field(
        default=2.0, ge=0, description="factor on the attention to the target's blended word (equaliser)"
    )
    local_blend: bool = Field(
        default=True, description="keep the source outside the blended word's attention"
    )
    blend_start: float = Field(
        default=0.2, ge=0, le=1, description="share of the steps before blending begins"
    )
    blend_threshold: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="share of a map's maximum above which a place belongs to the word",
    )
    blend_downsampling: int = Field(
        default=4,
        ge=1,
        description="cross-attention maps of this downsampling of the latent are blended with",
    )
    blend_maps: Literal["edited", "raw"] = Field(
        default="edited",
        description="whether the target's blended maps are its edited ones (as the paper's code, which "
        "stores maps before it edits them in place) or its own",
    )
    lost_blend_word: Literal["edit", "reconstruct"] = Field(
        default="edit",
        description="where neither blended word is in its prompt: edit without blend, or let an empty mask "
        "turn the edit into the source branch, as the paper's code does silently",
    )


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: P2PSettings
) -> PreparedController:
    """Align the words of every sample's prompts and set up the controller of a batch."""
    from piebench_eval.methods.p2p_controller import P2PController

    parts, notes = prepare_parts(samples, model, steps, settings)
    return PreparedController(P2PController(*parts, settings), notes)


def prepare_parts(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: P2PSettings
) -> tuple[tuple[StepRanges, CrossAttentionEdit, LocalBlend], list[list[str]]]:
    """What a Prompt-to-Prompt controller is made of, and notes for each sample."""
    import torch

    from piebench_eval.diffusion.local_blend import LocalBlend
    from piebench_eval.methods.p2p_controller import CrossAttentionEdit, StepRanges

    plans = [plan_words(sample, model.tokenizer, settings) for sample in samples]
    blended = [place for place, plan in enumerate(plans) if plan.blend is not None]

    def stack(arrays: Sequence[Any]) -> torch.Tensor:
        return torch.stack([torch.as_tensor(array) for array in arrays]).to(model.device)

    edit = CrossAttentionEdit(
        matrix=stack([plan.matrix for plan in plans]),
        taken=stack([plan.taken for plan in plans]),
        equalizer=stack([plan.equalizer for plan in plans]),
    )
    windows = StepRanges.of(settings, steps)
    blend_words = stack([plans[place].blend for place in blended]) if blended else torch.empty(0)
    local_blend = LocalBlend(blended, blend_words, windows.blend, settings.blend_threshold)
    return (windows, edit, local_blend), [plan.notes for plan in plans]


@dataclass(frozen=True)
class WordPlan:
    """What the prompts of one sample ask of the attention maps.

    Attributes:
        matrix: ``[tokens, tokens]``, as in ``CrossAttentionEdit``.
        taken: ``[tokens]``, likewise.
        equalizer: ``[tokens]``, likewise.
        blend: 1 at the tokens of the blended word, ``[2, tokens]`` (source, target), or None without blend.
        notes: what the user should know.
    """

    matrix: Any
    taken: Any
    equalizer: Any
    blend: Any
    notes: list[str]


def plan_words(sample: Sample, tokenizer: Any, settings: P2PSettings) -> WordPlan:
    """Align a sample's prompts and find its blended word."""
    source, target, length = sample.source_prompt, sample.target_prompt, tokenizer.model_max_length
    notes = words.truncation_notes({"source": source, "target": target}, tokenizer)
    if _replaces(sample, settings):
        matrix = words.replacement_matrix(source, target, tokenizer)
        taken = np.ones(length, dtype=np.float32)
    else:
        mapper, taken = words.refinement_alignment(
            words.token_ids(source, tokenizer), words.token_ids(target, tokenizer), length
        )
        matrix = words.refinement_matrix(mapper)
    equalizer = np.ones(length, dtype=np.float32)
    blend = np.zeros((2, length), dtype=np.float32)
    if sample.blend_words is not None:
        notes += dropped_word_notes(sample.blended_word)
        for branch, (prompt, word) in enumerate(zip((source, target), sample.blend_words, strict=True)):
            tokens = words.tokens_of_word(prompt, word, tokenizer)
            blend[branch, tokens] = 1
            notes += _word_notes(prompt, word, (target, source)[branch], tokens, tokenizer)
        equalizer[blend[1] > 0] = settings.blend_word_weight
        found = int(blend.any(axis=1).sum())
        if found == 0 and settings.lost_blend_word == "reconstruct":
            notes.append("not edited but reconstructed, since neither blended word was found")
        elif found == 0:
            notes.append("edited without local blend, since neither blended word was found")
        elif found == 1:
            notes.append("blended by the other blended word's attention alone")
    asked = sample.blend_words is not None and settings.lost_blend_word == "reconstruct"
    blends = settings.local_blend and (asked or blend.any())
    return WordPlan(matrix, taken, equalizer, blend if blends else None, notes)


def _word_notes(prompt: str, word: str, other: str, tokens: list[int], tokenizer: Any) -> list[str]:
    """What the user should know of where a blended word was found."""
    if tokens:
        return words.found_elsewhere_note(prompt, word, tokenizer)
    if occurrences(prompt, word):
        length = tokenizer.model_max_length
        return [f"the blended word {word!r} lies behind the {length} tokens that are read of its prompt"]
    return [missing_word_note(word, prompt, other)]


def problem(sample: Sample, settings: P2PSettings) -> str | None:
    """Why Prompt-to-Prompt cannot edit a sample: ``controller: replace`` needs equal word counts."""
    source, target = _word_counts(sample)
    if settings.controller == "replace" and source != target:
        return (
            f"controller=replace swaps word by word, but the prompts have {source} and {target} words; "
            "use controller=auto or refine"
        )
    return None


def _replaces(sample: Sample, settings: P2PSettings) -> bool:
    source, target = _word_counts(sample)
    return settings.controller == "replace" or (settings.controller == "auto" and source == target)


def _word_counts(sample: Sample) -> tuple[int, int]:
    return len(sample.source_prompt.split()), len(sample.target_prompt.split())


P2P = Method(
    title="Prompt-to-Prompt",
    paper="Hertz et al., Prompt-to-Prompt Image Editing with Cross-Attention Control, ICLR 2023",
    equation="section 3.2, algorithm 1",
    settings=P2PSettings,
    problem=problem,
    prepare=prepare,
)
