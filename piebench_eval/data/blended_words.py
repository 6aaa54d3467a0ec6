"""The two words of a local blend: how they are written, and where they stand in their prompts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

SEPARATOR = "|"
_FORM = 'write two words with a blank between, "SOURCE|TARGET" for phrases, or a list of the two'
_WITHOUT_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
"""Scripts that set no blanks between words: Thai, Lao, Burmese, Khmer, kana and Han."""

KINDS = {
    "absent_blended_words": "a blended word is in neither prompt",
    "blended_words_in_another_form": "a blended word is in its prompt in another form only, and is not found",
    "blended_words_in_the_other_prompt": "a blended word is in the other prompt only, and is not found",
    "dropped_blended_words": 'blended words behind the second are dropped; for phrases write "SOURCE|TARGET"',
}
"""What can be said of a sample's blended words."""


def blended_word_problem(value: Any) -> str | None:
    """Say why an annotation's field names no pair of words, or None if it does.

    >>> blended_word_problem("cat|polar bear"), blended_word_problem(["cat", "polar bear"])
    (None, None)
    """
    parts = value if isinstance(value, list) else str(value).split(SEPARATOR)
    if not all(isinstance(part, str) and SEPARATOR not in part for part in parts):
        return f"must be text, or a list of two texts without {SEPARATOR!r}; {_FORM}"
    if len(parts) > 2:
        return f"names {len(parts)} phrases, and a blend has two; {_FORM}"
    if len(parts) == 2 and not any(part.strip() for part in parts):
        return f"separates no words; {_FORM}, or leave it empty"
    return None


def blended_text(value: str | list[str]) -> str:
    """An annotation's field as ``Sample.blended_word`` holds it."""
    return SEPARATOR.join(value) if isinstance(value, list) else value


def blend_words(text: str) -> tuple[str, str] | None:
    """Source and target word or phrase; one alone stands for both; None without any.

    >>> blend_words("cat dog"), blend_words("cat|polar bear"), blend_words("cat"), blend_words("")
    (('cat', 'dog'), ('cat', 'polar bear'), ('cat', 'cat'), None)
    """
    parts = text.split(SEPARATOR) if SEPARATOR in text else text.split()[:2]
    named = [" ".join(part.split()) for part in parts if part.strip()]
    return (named[0], named[-1]) if named else None


def dropped_words(text: str) -> list[str]:
    """The words behind the second, which the published code does not read either.

    >>> dropped_words("cat polar bear"), dropped_words("cat|polar bear")
    (['bear'], [])
    """
    return [] if SEPARATOR in text else text.split()[2:]


def word_spans(prompt: str) -> list[tuple[int, int]]:
    """Where a prompt's words begin and end, in characters; white space of any kind and length parts them."""
    return [match.span() for match in re.finditer(r"\S+", prompt)]


def occurrences(prompt: str, phrase: str) -> list[tuple[int, int]]:
    """Where a word or phrase stands in a prompt, in characters.

    Words are compared whole, as they stand between white space ("cat," is not "cat"); accents may be written
    in either of Unicode's ways. In scripts without blanks a phrase may stand inside a word.
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


def absence_note(word: str, prompt: str, other: str) -> str:
    """Tell that a blended word is not in its prompt, and where it is instead.

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
    return f'{note}; between two words stands a blank or "|"' if "," in word else note


def dropped_note(text: str) -> list[str]:
    """Tell, in a list of one, that a blend leaves words out; nothing where it does not."""
    dropped, words = dropped_words(text), blend_words(text)
    if not dropped or words is None:
        return []
    return [
        f"of the blended words {text!r} the first two are read, {words[0]!r} and {words[1]!r}, and "
        f'{" ".join(dropped)!r} is dropped; for phrases write "SOURCE|TARGET"'
    ]


def blend_remarks(source_prompt: str, target_prompt: str, text: str) -> dict[str, bool]:
    """What is wrong with a sample's blended words: which of ``KINDS`` apply.

    Args:
        source_prompt: without brackets.
        target_prompt: likewise.
        text: ``Sample.blended_word``.
    """
    prompts = (source_prompt, target_prompt)
    kinds = dict.fromkeys(KINDS, False)
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
    """The words of a prompt around another form of a word: in other case, or with letters or signs around."""
    bare = re.sub(r"^\W+|\W+$", "", word)
    match = re.search(rf"\S*{re.escape(bare)}\S*", prompt, re.IGNORECASE) if bare else None
    return match.group() if match else None


def _composed(word: str) -> str:
    return unicodedata.normalize("NFC", word)
