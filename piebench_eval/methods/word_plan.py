"""What a sample's prompts ask of Prompt-to-Prompt's maps: which tokens take whose attention, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.prompts import dropped_word_notes, missing_word_note, occurrences
from piebench_eval.diffusion import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.methods.p2p_settings import P2PSettings


@dataclass(frozen=True)
class WordPlan:
    """What the prompts of one sample ask of the attention maps.

    Attributes:
        matrix: ``[tokens, tokens]``, as in ``CrossAttentionEdit``.
        use_source_map: ``[tokens]``, likewise.
        equalizer: ``[tokens]``, likewise.
        blend: 1 at the tokens of the blended word, ``[2, tokens]`` (source, target), or None without blend.
        notes: what the user should know.
    """

    matrix: Any
    use_source_map: Any
    equalizer: Any
    blend: Any
    notes: list[str]


def plan_words(sample: Sample, tokenizers: Sequence[tuple[Any, int]], settings: P2PSettings) -> WordPlan:
    """Align a sample's prompts and find its blended word, each among the tokens of its own tokenizer.

    Args:
        sample: with both prompts and the blended words.
        tokenizers: ``DiffusionModel.text_tokenizers``; their tokens follow each other in the text.
        settings: the method's section of the recipe.
    """
    texts = {"source": sample.source_prompt, "target": sample.target_prompt}
    notes = words.truncation_notes(texts, tokenizers)
    alignments = [_alignment(sample, *tokens, settings) for tokens in tokenizers]
    matrix = _block_diagonal([aligned for aligned, _ in alignments])
    use_source_map = np.concatenate([taken for _, taken in alignments])
    blend = np.zeros((2, len(matrix)), dtype=np.float32)
    if sample.blend_words is not None:
        notes += dropped_word_notes(sample.blended_word)
        for branch, (prompt, word) in enumerate(zip(texts.values(), sample.blend_words, strict=True)):
            tokens = _tokens_of_word(prompt, word, tokenizers)
            blend[branch, tokens] = 1
            other = (sample.target_prompt, sample.source_prompt)[branch]
            notes += _word_notes(prompt, word, other, tokens, tokenizers)
        notes += _blend_notes(int(blend.any(axis=1).sum()), settings)
    equalizer = np.where(blend[1] > 0, settings.blend_word_weight, 1).astype(np.float32)
    asked = sample.blend_words is not None and settings.quirks.lost_blend_word == "reconstruct"
    blends = settings.local_blend and (asked or blend.any())
    return WordPlan(matrix, use_source_map, equalizer, blend if blends else None, notes)


def _alignment(
    sample: Sample, tokenizer: Any, length: int, settings: P2PSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``matrix`` and ``use_source_map`` of one tokenizer's tokens."""
    source, target = sample.source_prompt, sample.target_prompt
    if _replaces(sample, settings):
        matrix = words.replacement_matrix(source, target, tokenizer, length)
        return matrix, np.ones(length, dtype=np.float32)
    if settings.controller == "blocks":
        padded = (words.padded_token_ids(text, tokenizer, length) for text in (source, target))
        mapper, use_source_map = words.block_alignment(*padded)
        return words.refinement_matrix(mapper), use_source_map
    source_ids, target_ids = (words.token_ids(text, tokenizer, length) for text in (source, target))
    mapper, use_source_map = words.refinement_alignment(source_ids, target_ids, length)
    return words.refinement_matrix(mapper), use_source_map


def _block_diagonal(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Tokens of one tokenizer take nothing from another's."""
    matrix = np.zeros((sum(map(len, blocks)),) * 2, dtype=np.float32)
    begin = 0
    for block in blocks:
        part = slice(begin, begin + len(block))
        matrix[part, part] = block
        begin = part.stop
    return matrix


def _tokens_of_word(prompt: str, word: str, tokenizers: Sequence[tuple[Any, int]]) -> list[int]:
    """Positions of a word's tokens in the whole text."""
    found, begin = [], 0
    for tokenizer, length in tokenizers:
        found += [begin + place for place in words.tokens_of_word(prompt, word, tokenizer, length)]
        begin += length
    return found


def _word_notes(
    prompt: str, word: str, other: str, tokens: list[int], tokenizers: Sequence[tuple[Any, int]]
) -> list[str]:
    """What the user should know of where a blended word was found."""
    if tokens:
        # The published code knows one tokenizer.
        (tokenizer, _), *others = tokenizers
        return [] if others else words.found_elsewhere_note(prompt, word, tokenizer)
    if occurrences(prompt, word):
        length = max(length for _, length in tokenizers)
        return [f"the blended word {word!r} lies behind the {length} tokens that are read of its prompt"]
    return [missing_word_note(word, prompt, other)]


def _blend_notes(found: int, settings: P2PSettings) -> list[str]:
    """What follows if so many of both branches' blended words were found."""
    if found == 0 and settings.quirks.lost_blend_word == "reconstruct":
        return ["not edited but reconstructed, since neither blended word was found"]
    if found == 0:
        return ["edited without local blend, since neither blended word was found"]
    return ["blended by the other blended word's attention alone"] if found == 1 else []


def _replaces(sample: Sample, settings: P2PSettings) -> bool:
    source, target = word_counts(sample)
    as_long = len(sample.source_prompt.strip()) == len(sample.target_prompt.strip())
    replacing = {"replace": True, "auto": source == target, "letters": source == target and as_long}
    return replacing.get(settings.controller, False)


def word_counts(sample: Sample) -> tuple[int, int]:
    """Words of the source prompt and of the target prompt."""
    return len(sample.source_prompt.split()), len(sample.target_prompt.split())
