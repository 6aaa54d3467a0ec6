"""Find samples of a benchmark by id, editing type and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.data.sample import TYPE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piebench_eval.data.sample import Sample

ANY_TYPE = "any type"
"""In the place of an editing type: all of them."""


def type_label(type_id: str) -> str:
    """An editing type as it is shown.

    >>> type_label("8")
    '8 change background'
    """
    return f"{type_id} {TYPE_NAMES.get(type_id, '')}".strip()


def search_samples(
    samples: Sequence[Sample], words: str = "", type_id: str | None = None, limit: int = 30
) -> list[Sample]:
    """The first samples that have all words, in the benchmark's order.

    Args:
        samples: all samples.
        words: separated by blanks; each has to be part of the id, the prompts, the instruction or the
            editing type's name, in any case.
        type_id: an editing type; None for all.
        limit: maximum number of samples.
    """
    wanted = words.casefold().split()
    found = []
    for sample in samples:
        if type_id is not None and sample.type_id != type_id:
            continue
        text = " ".join(
            [
                sample.id,
                sample.source_prompt,
                sample.target_prompt,
                sample.instruction,
                type_label(sample.type_id),
            ]
        ).casefold()
        if all(word in text for word in wanted):
            found.append(sample)
            if len(found) == limit:
                break
    return found
