"""Summarise a benchmark folder by editing type."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from piebench_eval.data.images import image_size
from piebench_eval.data.masks import is_empty, load_mask
from piebench_eval.data.pie_bench import load_pie_bench
from piebench_eval.data.sample import TYPE_NAMES, Sample
from piebench_eval.errors import DataError


@dataclass(frozen=True)
class TypeSummary:
    """Samples and masks of one editing type.

    Attributes:
        type_id: editing type.
        name: the type in words.
        images: number of samples.
        mean_mask_share: mean share of the image that the mask covers, 0 to 1.
        full_masks: samples whose mask covers the whole image (no background is left to compare).
        empty_masks: samples whose annotation sets no pixel of the image (only the frame is masked).
    """

    type_id: str
    name: str
    images: int
    mean_mask_share: float
    full_masks: int
    empty_masks: int


def summarise(samples: Sequence[Sample]) -> list[TypeSummary]:
    """Summarise samples by editing type, in the order of the type ids."""
    by_type: dict[str, list[Sample]] = {}
    for sample in samples:
        by_type.setdefault(sample.type_id, []).append(sample)
    return [_summarise_type(type_id, by_type[type_id]) for type_id in sorted(by_type, key=int)]


def summarise_new_folder(folder: Path, name: str) -> list[TypeSummary]:
    """Load, check and summarise a folder that has a temporary name; see ``load_pie_bench``.

    Args:
        folder: the benchmark folder.
        name: what to call the folder in messages.

    Raises:
        DataError: every problem of the folder.
    """
    try:
        return summarise(load_pie_bench(folder, check_masks=False))
    except DataError as error:
        raise DataError([problem.replace(str(folder), name) for problem in error.problems]) from None


def full_mask_remark(full: int, total: int) -> str | None:
    """Explain what masks that cover the whole image mean for the scores; None if there are none.

    Args:
        full: number of samples whose mask covers the whole image.
        total: number of all samples.

    >>> full_mask_remark(560, 700)[:49]
    '560 of 700 masks cover the whole picture. Nothing'
    >>> full_mask_remark(0, 4)
    """
    if full == 0:
        return None
    covers = "covers" if full == 1 else "cover"
    rest = {0: "no sample at all", 1: "the other sample only"}.get(
        total - full, f"the other {total - full} samples only"
    )
    return (
        f"{full} of {total} masks {covers} the whole picture. Nothing is left outside it to compare, so the "
        f"means of the background metrics (PSNR, LPIPS, MSE, SSIM) are over {rest}; and the CLIP score of "
        "the edited region is there the same as that of the whole picture."
    )


def _summarise_type(type_id: str, samples: Sequence[Sample]) -> TypeSummary:
    masks = [load_mask(sample, frame=True) for sample in samples]  # as they are scored
    return TypeSummary(
        type_id=type_id,
        name=TYPE_NAMES.get(type_id, "other"),
        images=len(samples),
        mean_mask_share=float(np.mean([mask.mean() for mask in masks])),
        full_masks=sum(bool(mask.all()) for mask in masks),
        empty_masks=sum(is_empty(sample.mask_rle, image_size(sample.file)) for sample in samples),
    )
