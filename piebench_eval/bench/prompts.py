"""Square brackets in PIE-Bench prompts: they mark the words that an edit changes."""

import re

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
