"""Which words of two prompts differ, and what is wrong with a pair of prompts."""

from __future__ import annotations

from difflib import SequenceMatcher

from piebench_eval.data.prompts import blended_word_problem
from piebench_eval.errors import PiebenchError

CHANGED = "changed"
"""The label of words that the other prompt does not have in their place."""

MAX_PROMPT = 2000
"""Characters; text encoders read 77 tokens, or 512."""

Marked = list[tuple[str, str | None]]
"""Parts of a prompt in order, each with ``CHANGED`` or None."""


def changed_words(source: str, target: str) -> tuple[Marked, Marked]:
    """Mark the words in which two prompts differ.

    Returns:
        The parts of the source prompt and of the target prompt.

    >>> changed_words("a cat on a chair", "a dog on a chair")[1]
    [('a ', None), ('dog ', 'changed'), ('on a chair ', None)]
    """
    words, others = source.split(), target.split()
    marked: tuple[Marked, Marked] = ([], [])
    for what, begin, end, other_begin, other_end in SequenceMatcher(
        None, words, others, autojunk=False
    ).get_opcodes():
        label = None if what == "equal" else CHANGED
        for parts, of_part in zip(marked, (words[begin:end], others[other_begin:other_end]), strict=True):
            if of_part:
                parts.append((" ".join(of_part) + " ", label))
    return marked


def require_prompts(source: str, target: str, blended_word: str = "", instruction: str = "") -> None:
    """Refuse prompts that ask for no edit, and texts that are none.

    Raises:
        PiebenchError: a prompt is empty, a text too long or broken, both prompts are the same, or the blended
            words are no pair.
    """
    prompts = {"source prompt": source, "target prompt": target}
    for which, text in {**prompts, "blended word": blended_word, "instruction": instruction}.items():
        if which in prompts and not text.strip():
            raise PiebenchError(f"The {which} is empty; describe the picture, and the edit of it")
        if len(text) > MAX_PROMPT:
            raise PiebenchError(f"The {which} has {len(text)} characters; write at most {MAX_PROMPT}")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise PiebenchError(f"The {which} holds half a character; write it again")
    if source.split() == target.split():
        raise PiebenchError(
            "Both prompts are the same, so that no edit is asked for; change the target prompt"
        )
    if problem := blended_word_problem(blended_word):
        raise PiebenchError(f"The blended word {problem}")
