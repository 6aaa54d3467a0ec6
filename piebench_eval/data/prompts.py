"""PIE-Bench's prompts: words marked by brackets, and the blended words of the local blend."""

from __future__ import annotations

import re
import string
import unicodedata
from typing import Any

_MARKED = re.compile(r"\[([^\[\]]*)\]")
_SEPARATOR = "|"
_FORM = 'write two words with a blank between, "SOURCE|TARGET" for phrases, or a list of the two'
_WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
"""Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana and Han."""

BLEND_REMARKS = {
    "absent_blended_words": "a blended word is in neither prompt",
    "blended_words_in_another_form": "a blended word is in its prompt in another form only, and is not found",
    "blended_words_in_the_other_prompt": "a blended word is in the other prompt only, and is not found",
    "dropped_blended_words": 'blended words behind the second are dropped; for phrases write "SOURCE|TARGET"',
}
"""Remarks on a sample's blended words."""


def strip_brackets(prompt: str) -> str:
    """Remove the brackets and nothing else, as the published code does before encoding a prompt.

    >>> strip_brackets("a [white cat] next to a mirror")
    'a white cat next to a mirror'
    """
    return prompt.replace("[", "").replace("]", "")


def marked_phrases(prompt: str) -> tuple[str, ...]:
    """The phrases in brackets, in order.

    >>> marked_phrases("a [white cat] next to a [mirror]")
    ('white cat', 'mirror')
    """
    return tuple(_MARKED.findall(prompt))


def split_punctuation(prompt: str) -> str:
    """Lower-case a prompt, strip accents and put blanks around every punctuation mark.

    A CLIP tokenizer without ftfy does this before its byte pairs (BERT's basic tokenizer).

    >>> split_punctuation("The dog's Café...")
    "the dog ' s cafe . . ."
    """
    decomposed = unicodedata.normalize("NFD", prompt.lower())
    plain = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
    apart = "".join(f" {letter} " if _is_punctuation(letter) else letter for letter in plain)
    return " ".join(apart.split())


def blended_word_problem(value: Any) -> str | None:
    """Explain why a ``blended_word`` field is not a pair of words; None if it is.

    >>> blended_word_problem("cat|polar bear"), blended_word_problem(["cat", "polar bear"])
    (None, None)
    """
    parts = value if isinstance(value, list) else str(value).split(_SEPARATOR)
    if not all(isinstance(part, str) and _SEPARATOR not in part for part in parts):
        return f"must be text, or a list of two texts without {_SEPARATOR!r}; {_FORM}"
    if len(parts) > 2:
        return f"names {len(parts)} phrases, and a blend has two; {_FORM}"
    if len(parts) == 2 and not any(part.strip() for part in parts):
        return f"separates no words; {_FORM}, or leave it empty"
    return None


def blended_word_text(value: str | list[str]) -> str:
    """Convert a ``blended_word`` field, text or a list of two, to ``Sample.blended_word``."""
    return _SEPARATOR.join(value) if isinstance(value, list) else value


def blend_words(text: str) -> tuple[str, str] | None:
    """Source and target word or phrase; a single one is used for both; None if there is none.

    >>> blend_words("cat dog"), blend_words("cat|polar bear"), blend_words("cat"), blend_words("")
    (('cat', 'dog'), ('cat', 'polar bear'), ('cat', 'cat'), None)
    """
    parts = text.split(_SEPARATOR) if _SEPARATOR in text else text.split()[:2]
    named = [" ".join(part.split()) for part in parts if part.strip()]
    return (named[0], named[-1]) if named else None


def dropped_words(text: str) -> list[str]:
    """The words after the second, which the published code ignores too.

    >>> dropped_words("cat polar bear"), dropped_words("cat|polar bear")
    (['bear'], [])
    """
    return [] if _SEPARATOR in text else text.split()[2:]


def word_spans(prompt: str) -> list[tuple[int, int]]:
    """Start and end of each word of a prompt, in characters; words are separated by white space."""
    return [match.span() for match in re.finditer(r"\S+", prompt)]


def occurrences(prompt: str, phrase: str) -> list[tuple[int, int]]:
    """Start and end of each occurrence of a word or phrase in a prompt, in characters.

    Whole words between white space are compared ("cat," is not "cat"), in Unicode's composed form. In scripts
    without blanks a phrase may be part of a word.
    """
    spans, wanted = word_spans(prompt), [_composed(word) for word in phrase.split()]
    words = [_composed(prompt[start:end]) for start, end in spans]
    length = len(wanted)
    found = [
        (spans[first][0], spans[first + length - 1][1])
        for first in range(len(words) - length + 1)
        if wanted and words[first : first + length] == wanted
    ]
    if not found and _WITHOUT_BLANKS.search(phrase):
        found = [match.span() for match in re.finditer(re.escape(phrase), prompt)]
    return found


def missing_word_note(word: str, prompt: str, other: str) -> str:
    """Say that a blended word is not in its prompt, and where it is instead.

    Args:
        word: the word or phrase.
        prompt: the prompt that should have it.
        other: the sample's other prompt.
    """
    note = f"the blended word {word!r} is not a word of the prompt {prompt!r}"
    if similar := _similar(word, prompt):
        return f"{note}, which has {similar!r}"
    if occurrences(other, word):
        return f"{note}, but of the other prompt"
    return f'{note}; write a blank or "|" between two words' if "," in word else note


def dropped_word_notes(text: str) -> list[str]:
    """Say that words of a blend are dropped: a list of one sentence, or of none."""
    dropped, words = dropped_words(text), blend_words(text)
    if not dropped or words is None:
        return []
    return [
        f"of the blended words {text!r} the first two are read, {words[0]!r} and {words[1]!r}, and "
        f'{" ".join(dropped)!r} is dropped; for phrases write "SOURCE|TARGET"'
    ]


def blend_remarks(source_prompt: str, target_prompt: str, text: str) -> dict[str, bool]:
    """Which of ``BLEND_REMARKS`` apply to a sample.

    Args:
        source_prompt: without brackets.
        target_prompt: likewise.
        text: ``Sample.blended_word``.
    """
    prompts = (source_prompt, target_prompt)
    kinds = dict.fromkeys(BLEND_REMARKS, False)
    for word, prompt, other in zip(blend_words(text) or (), prompts, prompts[::-1], strict=False):
        if occurrences(prompt, word):
            continue
        if _similar(word, prompt):
            kinds["blended_words_in_another_form"] = True
        elif occurrences(other, word):
            kinds["blended_words_in_the_other_prompt"] = True
        else:
            kinds["absent_blended_words"] = True
    return kinds | {"dropped_blended_words": bool(dropped_words(text))}


def _similar(word: str, prompt: str) -> str | None:
    """The words of a prompt that contain another form of a word: other case, or more letters or signs."""
    bare = re.sub(r"^\W+|\W+$", "", word)
    match = re.search(rf"\S*{re.escape(bare)}\S*", prompt, re.IGNORECASE) if bare else None
    return match.group() if match else None


def _composed(word: str) -> str:
    return unicodedata.normalize("NFC", word)


def _is_punctuation(letter: str) -> bool:
    """Whether a character is punctuation for BERT's tokenizer: all ASCII signs count, $ and ^ too."""
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
