"""PIE-Bench's prompts: square brackets mark the words that an edit changes."""

import re
import string
import unicodedata

_MARKED = re.compile(r"\[([^\[\]]*)\]")


def strip_brackets(prompt: str) -> str:
    """Remove every bracket and nothing else, as the reference does before any model sees a prompt.

    >>> strip_brackets("a [white cat] next to a mirror")
    'a white cat next to a mirror'
    """
    return prompt.replace("[", "").replace("]", "")


def marked_phrases(prompt: str) -> tuple[str, ...]:
    """The phrases inside brackets, in order.

    >>> marked_phrases("a [white cat] next to a [mirror]")
    ('white cat', 'mirror')
    """
    return tuple(_MARKED.findall(prompt))


def split_punctuation(prompt: str) -> str:
    """Lower-case, without accents, and with every punctuation mark standing alone.

    What a CLIP tokenizer without ftfy did to a text before its byte pairs (BERT's basic tokenizer).

    >>> split_punctuation("The dog's Café...")
    "the dog ' s cafe . . ."
    """
    decomposed = unicodedata.normalize("NFD", prompt.lower())
    plain = "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn")
    apart = "".join(f" {letter} " if _is_punctuation(letter) else letter for letter in plain)
    return " ".join(apart.split())


def _is_punctuation(letter: str) -> bool:
    """ASCII's signs all count, $ and ^ among them, as in BERT's tokenizer."""
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
