"""Remarks on suspicious samples: data that is valid but probably not meant."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piebench_eval.data.images import image_size
from piebench_eval.data.mask_size import other_size
from piebench_eval.data.masks import is_empty, load_mask, rle_end
from piebench_eval.data.prompts import BLEND_REMARKS, blend_remarks
from piebench_eval.errors import first_few

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from piebench_eval.data.images import Size
    from piebench_eval.data.sample import Sample

_PAIR = re.compile(r"\[[^\[\]]*\]")
_PIECES = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")
"""The pieces that CLIP's tokenizer splits a text into before byte pairs: at least one token each."""

_MAX_TOKENS = 75
"""Of a prompt, without the start and end tokens."""

_SHOWN = 5
_FULL = "full_masks"

LABELS = {
    "same_prompts": "the source prompt is the target prompt",
    **BLEND_REMARKS,
    "unmatched_brackets": "a prompt has an unmatched bracket",
    "long_prompts": "a prompt has more than CLIP's 77 tokens, and its end is cut off",
    "same_pictures": "several samples have the same picture",
    "not_square": "the picture is not square; image_loader=crop edits its central square only",
    "empty_masks": "the mask sets no pixel of the picture",
    _FULL: "the mask covers the whole picture, so that no background is left to compare",
    "masks_past_the_end": "the mask extends past the picture's end, and is clipped there",
    "masks_of_another_size": "the mask was probably made for a picture of another size",
}
"""The text of each remark, by name."""


@dataclass(frozen=True)
class Remark:
    """A remark and the samples that it applies to.

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
    """Find suspicious samples, in the order of ``LABELS``.

    Raises:
        PiebenchError: an image is missing or damaged.
        OSError: likewise.
    """
    found: dict[str, list[str]] = {name: [] for name in LABELS}
    ids_by_content: dict[str, list[str]] = {}
    for sample in samples:
        size = image_size(sample.file)
        text_remarks = {name: check(sample) for name, check in _TEXT_CHECKS.items()}
        applies = (
            text_remarks
            | blend_remarks(sample.source_prompt, sample.target_prompt, sample.blended_word)
            | _image_remarks(sample, size)
        )
        for name in (name for name, yes in applies.items() if yes):
            found[name].append(sample.id)
        content = hashlib.blake2b(sample.file.read_bytes()).hexdigest()
        ids_by_content.setdefault(content, []).append(sample.id)
    found["same_pictures"] = [each for ids in ids_by_content.values() if len(ids) > 1 for each in ids]
    return [Remark(name, tuple(ids)) for name, ids in found.items() if ids]


def count_remarks(samples: Iterable[Sample]) -> dict[str, int]:
    """Number of samples of each remark, as stored in scores files."""
    return {remark.name: len(remark.ids) for remark in remarks_on_data(list(samples))}


def counts_text(counts: dict[str, int]) -> str:
    """Counts in words, without full masks, which tables explain beside their scores.

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
    return any(len(_PIECES.findall(prompt)) > _MAX_TOKENS for prompt in prompts)


_TEXT_CHECKS: dict[str, Callable[[Sample], bool]] = {
    "same_prompts": _same_prompts,
    "unmatched_brackets": _unmatched_brackets,
    "long_prompts": _long_prompts,
}


def _image_remarks(sample: Sample, size: Size) -> dict[str, bool]:
    width, height = size
    return {
        "not_square": width != height,
        "empty_masks": is_empty(sample.mask_rle, size),
        _FULL: sum(sample.mask_rle[1::2]) >= (width - 2) * (height - 2)
        and bool(load_mask(sample, frame=True).all()),
        "masks_past_the_end": rle_end(sample.mask_rle) > width * height,
        "masks_of_another_size": other_size(sample.mask_rle, size) is not None,
    }
