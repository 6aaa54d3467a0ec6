"""What is suspicious about a benchmark's data without being wrong: remarks with counts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.data import blended_words
from piebench_eval.data.image_files import picture_size
from piebench_eval.data.images import load_mask
from piebench_eval.data.mask_size import is_empty, mask_end, other_size
from piebench_eval.errors import first_few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from piebench_eval.data.mask_size import Size
    from piebench_eval.data.sample import Sample

_PAIR = re.compile(r"\[[^\[\]]*\]")
_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")
"""What CLIP's tokenizer cuts a text into before its byte pairs: each piece is one token at least."""

_MOST_TOKENS = 75
"""Of a prompt, beside the two that mark its begin and its end."""

_SHOWN = 5
_FULL = "full_masks"

LABELS = {
    "same_prompts": "the source prompt is the target prompt",
    **blended_words.KINDS,
    "unmatched_brackets": "a bracket of a prompt has no partner",
    "long_prompts": "a prompt has more than CLIP's 77 tokens, and its end is cut off",
    "same_pictures": "the picture is another sample's too",
    "not_square": "the picture is not square; image_loader=crop edits its central square alone",
    "empty_masks": "the mask sets no pixel of the picture",
    _FULL: "the mask covers the whole picture, and nothing is left outside it to compare",
    "masks_past_the_end": "the mask goes on behind the picture's end, and is cut there",
    "masks_of_another_size": "the mask looks as if made for a picture of another size",
}
"""What each remark says of a sample."""


@dataclass(frozen=True)
class Remark:
    """Something suspicious.

    Attributes:
        name: a key of ``LABELS``.
        ids: the samples.
    """

    name: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        ids = first_few(self.ids, _SHOWN, last=", and ")
        return f"{len(self.ids)} x {LABELS[self.name]} (id {ids})"


def remarks_on_data(samples: Sequence[Sample]) -> list[Remark]:
    """Look for what is suspicious, in the order of ``LABELS``.

    Raises:
        PiebenchError: a picture is missing or damaged.
        OSError: likewise.
    """
    found: dict[str, list[str]] = {name: [] for name in LABELS}
    pictures: dict[str, list[str]] = {}
    for sample in samples:
        size = picture_size(sample.file)
        of_texts = {name: check(sample) for name, check in _OF_TEXTS.items()}
        applies = of_texts | _of_blended_words(sample) | _of_picture(sample, size)
        for name in (name for name, yes in applies.items() if yes):
            found[name].append(sample.id)
        content = hashlib.blake2b(sample.file.read_bytes()).hexdigest()
        pictures.setdefault(content, []).append(sample.id)
    found["same_pictures"] = [each for ids in pictures.values() if len(ids) > 1 for each in ids]
    return [Remark(name, tuple(ids)) for name, ids in found.items() if ids]


def count_remarks(samples: Iterable[Sample]) -> dict[str, int]:
    """How many samples each remark is about; as scores files carry it."""
    return {remark.name: len(remark.ids) for remark in remarks_on_data(list(samples))}


def counts_text(counts: dict[str, int]) -> str:
    """Counts in words, without that of full masks, which tables tell by their scores.

    >>> counts_text({"empty_masks": 2, "full_masks": 1})
    '2 x the mask sets no pixel of the picture'
    """
    return "; ".join(
        f"{count} x {LABELS[name]}" for name, count in counts.items() if name in LABELS and name != _FULL
    )


def _same_prompts(sample: Sample) -> bool:
    return sample.source_prompt.split() == sample.target_prompt.split()


def _unmatched_brackets(sample: Sample) -> bool:
    prompts = (sample.marked_source_prompt, sample.marked_target_prompt)
    return any(re.search(r"[\[\]]", _PAIR.sub("", prompt)) for prompt in prompts)


def _long_prompts(sample: Sample) -> bool:
    prompts = (sample.source_prompt, sample.target_prompt)
    return any(len(_PIECES.findall(prompt)) > _MOST_TOKENS for prompt in prompts)


def _of_blended_words(sample: Sample) -> dict[str, bool]:
    return blended_words.blend_remarks(sample.source_prompt, sample.target_prompt, sample.blended_word)


_OF_TEXTS: dict[str, Callable[[Sample], bool]] = {
    "same_prompts": _same_prompts,
    "unmatched_brackets": _unmatched_brackets,
    "long_prompts": _long_prompts,
}


def _of_picture(sample: Sample, size: Size) -> dict[str, bool]:
    width, height = size
    return {
        "not_square": width != height,
        "empty_masks": is_empty(sample.mask_rle, size),
        _FULL: sum(sample.mask_rle[1::2]) >= (width - 2) * (height - 2) and bool(load_mask(sample).all()),
        "masks_past_the_end": mask_end(sample.mask_rle) > width * height,
        "masks_of_another_size": other_size(sample.mask_rle, size) is not None,
    }
