"""Words of a prompt and their tokens; aligning the tokens of two prompts (Prompt-to-Prompt, section 3.2)."""

from __future__ import annotations

from difflib import SequenceMatcher
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from piebench_eval.data.prompts import occurrences, word_spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NAMED_WORDS = 80
"""Characters of the words that are not read, in a note."""


def token_ids(prompt: str, tokenizer: Any, length: int | None = None) -> list[int]:
    """Token ids with the tokenizer's own tokens, such as start and end, truncated.

    Args:
        prompt: the text.
        tokenizer: CLIP's or T5's.
        length: so many tokens are read; as many as the tokenizer says if None.
    """
    return _encode(prompt, tokenizer, length).input_ids


def padded_token_ids(prompt: str, tokenizer: Any, length: int | None = None) -> list[int]:
    """Likewise, with padding up to the length."""
    return _encode(prompt, tokenizer, length, padding="max_length").input_ids


def _encode(prompt: str, tokenizer: Any, length: int | None, **options: Any) -> Any:
    length = tokenizer.model_max_length if length is None else length
    return tokenizer(prompt, truncation=True, max_length=length, **options)


def same_text(prompt: str, other: str, tokenizer: Any, length: int | None = None) -> bool:
    """Whether two prompts are the same to the text encoder: equal tokens, as far as it reads."""
    return token_ids(prompt, tokenizer, length) == token_ids(other, tokenizer, length)


def is_truncated(prompt: str, tokenizer: Any, length: int | None = None) -> bool:
    """Whether a prompt has more tokens than the text encoder reads."""
    length = tokenizer.model_max_length if length is None else length
    return len(tokenizer(prompt, truncation=False, verbose=False).input_ids) > length


def truncation_notes(prompts: dict[str, str], tokenizers: Sequence[tuple[Any, int]]) -> list[str]:
    """Notes for the user on prompts that are longer than the text encoders read, and what they leave out.

    Args:
        prompts: which prompt ("source", say) to its text.
        tokenizers: ``DiffusionModel.text_tokenizers``.
    """
    notes, differ = [], False
    for tokenizer, length in tokenizers:
        of_which = f" of {type(tokenizer).__name__}" if len(tokenizers) > 1 else ""
        notes += [
            f"the {which} prompt has more than {length} tokens{of_which} and was truncated; cut off: "
            f"{_cut_off(prompt, tokenizer, length)}"
            for which, prompt in prompts.items()
            if is_truncated(prompt, tokenizer, length)
        ]
        read = {tuple(token_ids(prompt, tokenizer, length)) for prompt in prompts.values()}
        differ = differ or len(read) == len(prompts)
    if notes and not differ:
        lengths = " and ".join(str(length) for _, length in tokenizers)
        notes.append(f"the prompts do not differ in the {lengths} tokens that are read: no edit is asked for")
    return notes


def _cut_off(prompt: str, tokenizer: Any, length: int) -> str:
    """The words of a truncated prompt that are not read: the first of them, if there are many."""
    words = prompt.split()
    pairs = zip(words, tokens_of_words(prompt, tokenizer, length), strict=True)
    unread = [word for word, tokens in pairs if not tokens] or words[-1:]  # the last was read in part
    return shorten(" ".join(unread), _NAMED_WORDS, placeholder=" ...")


def tokens_of_words(prompt: str, tokenizer: Any, length: int | None = None) -> list[list[int]]:
    """Positions of the tokens of each word, by the tokenizer's offsets.

    Returns:
        For each word of ``prompt.split()`` its token positions, counted with the tokenizer's own tokens (0 is
        CLIP's start token; T5 has none); none for words beyond the text encoder's length.
    """
    return _tokens_in(prompt, word_spans(prompt), tokenizer, length)


def tokens_of_word(prompt: str, word: str, tokenizer: Any, length: int | None = None) -> list[int]:
    """Token positions of every occurrence of a word or phrase; empty if the prompt does not contain it.

    "cat," is not "cat": words are compared as they are between white space.
    """
    found = _tokens_in(prompt, occurrences(prompt, word), tokenizer, length)
    return sorted({position for positions in found for position in positions})


def tokens_of_word_as_in_p2p_code(prompt: str, word: str, tokenizer: Any) -> list[int]:
    """Token positions of a word as Prompt-to-Prompt's published code finds them.

    That code splits the prompt at single spaces and assigns tokens to the words in order; a word is complete
    when its tokens decode to as many characters as it has. For plain prompts this agrees with
    ``tokens_of_word``. It differs where two spaces follow each other (the empty word between them gets a
    token of the next word) and where one character has several tokens (each counts as a character).
    """
    words = prompt.split(" ")
    positions: list[list[int]] = [[] for _ in words]
    current, characters = 0, 0  # the word that gets tokens, and how many characters it has so far
    encoded = _encode(prompt, tokenizer, None, return_special_tokens_mask=True)
    for position in _of_the_prompt(encoded):
        if current == len(words):
            break
        positions[current].append(position)
        characters += len(tokenizer.decode([encoded.input_ids[position]]).strip())
        if characters >= len(words[current]):
            current, characters = current + 1, 0
    pairs = zip(words, positions, strict=True)
    return [position for candidate, found in pairs if candidate == word for position in found]


def found_elsewhere_note(prompt: str, word: str, tokenizer: Any) -> list[str]:
    """A note for the user if the published code takes other tokens for a word; an empty list if not."""
    counted = tokens_of_word_as_in_p2p_code(prompt, word, tokenizer)
    if not counted or counted == tokens_of_word(prompt, word, tokenizer):
        return []
    ids = token_ids(prompt, tokenizer)
    other = tokenizer.decode([ids[position] for position in counted])
    return [
        f"the blended word {word!r} has its own tokens here; the published code, which counts characters, "
        f"takes {other!r} for it in the prompt {prompt!r}"
    ]


def _tokens_in(
    prompt: str, spans: list[tuple[int, int]], tokenizer: Any, length: int | None
) -> list[list[int]]:
    """Positions of the tokens that begin in each of a prompt's parts, given in characters."""
    encoded = _encode(prompt, tokenizer, length, return_offsets_mapping=True, return_special_tokens_mask=True)
    begins = {}
    for position in _of_the_prompt(encoded):
        begin, end = encoded.offset_mapping[position]
        text = prompt[begin:end]
        begins[position] = begin + len(text) - len(text.lstrip())  # T5's tokens may begin with the blank
    return [[position for position, begin in begins.items() if start <= begin < end] for start, end in spans]


def _of_the_prompt(encoded: Any) -> list[int]:
    """Positions of a prompt's own tokens, not the tokenizer's: no start and end, of which T5 has only one."""
    return [position for position, special in enumerate(encoded.special_tokens_mask) if not special]


def refinement_alignment(
    source_ids: list[int], target_ids: list[int], length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Align two token sequences globally (Needleman & Wunsch, 1970): gap 0, match 1, mismatch -1.

    Where several alignments score the same, an insertion into the target is preferred, then a deletion
    from the source, then a pair: a swapped word is an insertion and a deletion, never a pair.

    Args:
        source_ids: token ids of the source prompt, the tokenizer's own included.
        target_ids: likewise of the target prompt.
        length: positions of the text encoder, 77 of CLIP.

    Returns:
        For each target position its source position, -1 where it has none, shape ``[length]``; and 1 where
        the target takes the source's attention, else 0, shape ``[length]``. Padding behind the target's
        last token is paired with the same position of the source.
    """
    n, m = len(source_ids), len(target_ids)
    score = np.zeros((n + 1, m + 1), dtype=np.int64)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            pair = 1 if source_ids[i - 1] == target_ids[j - 1] else -1
            score[i, j] = max(score[i, j - 1], score[i - 1, j], score[i - 1, j - 1] + pair)
    mapper = np.arange(length)
    i, j = n, m
    while j > 0:
        if i == 0 or score[i, j] == score[i, j - 1]:
            j -= 1
            mapper[j] = -1
        elif score[i, j] == score[i - 1, j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            mapper[j] = i
    return mapper, (mapper >= 0).astype(np.float32)


def block_alignment(
    source_ids: Sequence[int], target_ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Align two padded token sequences by the blocks that Python's ``SequenceMatcher`` finds (EDICT's code).

    Equal blocks are aligned token by token, and so are replaced ones of equal length: a swapped word of as
    many tokens takes the attention of the word it replaces. Padding is part of the sequences.

    Args:
        source_ids: token ids of the source prompt, with padding.
        target_ids: likewise of the target prompt, as many.

    Returns:
        As ``refinement_alignment``.
    """
    mapper = np.full(len(target_ids), -1)
    # Without its heuristic of popular elements, which sets in at 200.
    matcher = SequenceMatcher(None, source_ids, target_ids, autojunk=False)
    for kind, begin, end, target_begin, target_end in matcher.get_opcodes():
        length = target_end - target_begin
        if kind in ("equal", "replace") and end - begin == length:
            mapper[target_begin:target_end] = np.arange(begin, end)
    return mapper, (mapper >= 0).astype(np.float32)


def refinement_matrix(mapper: NDArray[np.int64]) -> NDArray[np.float32]:
    """The mapper as a matrix ``[source token, target token]`` of ones and zeros."""
    matrix = np.zeros((len(mapper), len(mapper)), dtype=np.float32)
    aligned = np.flatnonzero(mapper >= 0)
    matrix[mapper[aligned], aligned] = 1
    return matrix


def replacement_matrix(
    source: str, target: str, tokenizer: Any, length: int | None = None
) -> NDArray[np.float32]:
    """Map the tokens of a prompt to those of another with the same number of words, word by word.

    A replaced word of as many tokens as its counterpart maps them one to one; otherwise each of the target
    word's m tokens gets 1/m of every token of the source word. Behind the last
    replaced word every target position maps to the same source position, even where replaced words differ
    in their number of tokens: the published code's rule, which mis-aligns the rest of such prompts.

    Returns:
        Weights ``[source token, target token]``, shape ``[length, length]``, 77 of CLIP.

    Raises:
        ValueError: the prompts differ in their number of words.
    """
    source_words, target_words = source.split(), target.split()
    if len(source_words) != len(target_words):
        raise ValueError(f"{len(source_words)} words cannot replace {len(target_words)} one by one")
    length = tokenizer.model_max_length if length is None else length
    pairs = zip(*(tokens_of_words(text, tokenizer, length) for text in (source, target)), strict=True)
    replaced = [
        pair
        for pair, old, new in zip(pairs, source_words, target_words, strict=True)
        if old != new and all(pair)
    ]
    matrix = np.zeros((length, length), dtype=np.float32)
    i = j = 0
    for source_tokens, target_tokens in replaced:
        while i < source_tokens[0] and j < length:
            matrix[i, j] = 1
            i, j = i + 1, j + 1
        one_to_one = len(source_tokens) == len(target_tokens)
        for place, row in enumerate(source_tokens):
            columns = [target_tokens[place]] if one_to_one else target_tokens
            matrix[row, columns] = 1 if one_to_one else 1 / len(target_tokens)
        i, j = i + len(source_tokens), j + len(target_tokens)
    rest = np.arange(j, length)
    matrix[rest, rest] = 1
    return matrix
