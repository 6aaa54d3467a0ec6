"""Whether two rows are of the same method and model, however papers spell them."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piebench_eval.lint.table import Row

_SPELLINGS = (
    (r"pnp[- _]?inv(ersion)?|direct[- _]?inv(ersion)?|\bdi\b", " direct "),
    (r"null[- _]?text([- _]?(inversion|inv|optimi[sz]ation))?|\bnti?\b", " nulltext "),
    (r"negative[- _]?prompt([- _]?(inversion|inv))?|\bnpi?\b", " negativeprompt "),
    (r"edit[- _]?friendly([- _]?(ddpm|inversion|inv))*|ddpm[- _]?inv(ersion)?|\bef\b", " editfriendly "),
    (r"ddim[- _]?inv(ersion)?", " ddim "),
    (r"(pix2pix|p2p)[- _]?zero", " pix2pixzero "),
    (r"prompt[- _]?(to|2)[- _]?prompt", " p2p "),
    (r"plug[- _]?(and|n|&)[- _]?play", " pnp "),
    (r"rf[- _]?solver([- _]?edit)?", " rfsolver "),
    (r"rf[- _]?inv(ersion)?", " rfinversion "),
    (r"instruct[- _]?p(ix)?2p(ix)?", " instructpix2pix "),
)
"""Spellings of papers and of this package, and one word for each."""

_MODELS = (
    (r"\b(sd|stable[- _]?diffusion)[- _]?v?3[.]5\S*", "sd3.5"),
    (r"\b(sd|stable[- _]?diffusion)[- _]?v?3\b\S*", "sd3"),
    (r"\b(sdxl|sd[- _]?xl|stable[- _]?diffusion[- _]?xl)\S*", "sdxl"),
    (r"\bflux\S*", "flux"),
    (r"\b(sd|stable[- _]?diffusion)[- _]?v?1\S*|\blcm\b", "sd1"),
)
"""Models whose rows are told apart, and how they are written."""

_EMPTY_WORDS = frozenset(
    ["a", "al", "and", "by", "edit", "editing", "et", "inv", "inversion", "of", "on", "the", "w", "with"]
)


def same_method(first: Row, second: Row) -> bool:
    """Whether two rows of different tables can be of one method on one model.

    Names are compared as sets of words: one that leaves words out (``P2P`` for ``Direct Inversion + P2P``) is
    the same, and so is a model that is not said.
    """
    one, other = words(first.name), words(second.name)
    models = _model(first.model, first.name), _model(second.model, second.name)
    if not one or not other or not (one <= other or other <= one):
        return False
    return models[0] == models[1] or not all(models)


def names_a_model(text: str) -> bool:
    """Whether a text, such as a line between sections of a table, names a diffusion model."""
    return any(re.search(pattern, text.lower()) for pattern, _ in _MODELS)


@cache
def words(name: str) -> frozenset[str]:
    """The words of a method's name that tell it from others, in one spelling.

    >>> sorted(words("PnP Inversion + Prompt-to-Prompt [12]")), sorted(words("null_text + p2p (FLUX.1-dev)"))
    (['direct', 'p2p'], ['nulltext', 'p2p'])
    """
    text = name.lower()
    for pattern, _ in _MODELS:
        text = re.sub(pattern, " ", text)
    for pattern, word in _SPELLINGS:
        text = re.sub(pattern, word, text)
    found = re.findall(r"[^\W_]+", re.sub(r"\[[\d, ]+\]", " ", text))
    return frozenset(found) - _EMPTY_WORDS


@cache
def _model(model: str, name: str) -> str:
    """The model of a row in one spelling, which its name may say too; empty if neither does."""
    for text in filter(None, (model.lower(), name.lower())):
        for pattern, spelling in _MODELS:
            if re.search(pattern, text):
                return spelling
    return re.sub(r"[^a-z0-9.]", "", model.lower())
