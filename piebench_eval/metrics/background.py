"""How well the picture outside the mask is preserved: PSNR and MSE.

Both see both pictures with the masked part painted black, and average over the whole picture, hole included:
so a larger mask makes for better numbers, in the published tables too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.metrics.base import PAIR_SECTIONS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch

    from piebench_eval.metrics.edit_batch import EditBatch

_PIE_BENCH = "Ju et al., PnP Inversion, ICLR 2024"


def masked_mse(source: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each pair of pictures.

    Args:
        source: ``[pairs, 3, height, width]`` in 0..1, masked.
        edited: likewise.

    Returns:
        ``[pairs]``.
    """
    return (edited - source).square().mean(dim=(1, 2, 3))


def psnr_of(mse: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB for a data range of 1; inf for identical pictures.

    >>> import torch
    >>> psnr_of(torch.tensor([0.01, 0.0])).tolist()
    [20.0, inf]
    """
    return -10 * mse.log10()


def background_mse(edits: EditBatch) -> list[float]:
    """MSE of what should not change; nan where there is nothing of it."""
    return without_background_nan(edits, _mse(edits, edits.protocol.background.difference).tolist())


def background_psnr(edits: EditBatch) -> list[float]:
    """PSNR of what should not change, in dB; nan where there is nothing of it."""
    return without_background_nan(edits, psnr_of(_mse(edits, "float")).tolist())


def _mse(edits: EditBatch, difference: str) -> torch.Tensor:
    """Mean squared errors ``[edits]`` by the protocol's rules; PSNR and MSE share them."""
    protocol = edits.protocol
    rules = [protocol.pictures, protocol.mask, protocol.background.area, difference]
    return edits.cached("MSE", rules, lambda: _errors(edits, difference))


def _errors(edits: EditBatch, difference: str) -> torch.Tensor:
    import torch

    rules = [edits.channels, edits.protocol.mask]
    sources = edits.cached("masked sources", rules, lambda: masked_sources(edits))
    errors = []
    for position, index in enumerate(edits.source_indices):  # one by one: a batch of float pictures is large
        edited = masked(edits, edits.images[position], index)
        pair = sources[index][None], edited[None]
        if difference == "uint8":
            wrapped = ((pair[0] * 255).round() - (pair[1] * 255).round()) % 256
            errors.append(wrapped.square().mean(dim=(1, 2, 3)) / 255**2)
        else:
            errors.append(masked_mse(*pair))
    mse = torch.cat(errors)
    if edits.protocol.background.area == "kept":
        mse = mse / torch.tensor([edits.backgrounds[index].mean() for index in edits.source_indices]).to(mse)
    return mse


def masked(edits: EditBatch, image: np.ndarray, index: int) -> torch.Tensor:
    """A picture in 0..1 with everything but the background black, ``[3, height, width]``."""
    import torch

    kept = torch.from_numpy(edits.backgrounds[index]).to(edits.suite.device)
    return edits.levels([image])[0] / 255 * kept


def masked_sources(edits: EditBatch) -> list[torch.Tensor]:
    """All sources of a block, as ``masked`` has them."""
    return [masked(edits, image, index) for index, image in enumerate(edits.source_images)]


def without_background_nan(edits: EditBatch, scores: Sequence[float]) -> list[float]:
    """Scores, but nan for edits whose mask leaves no background."""
    kept = [background.any() for background in edits.backgrounds]
    return [
        score if kept[index] else float("nan")
        for score, index in zip(scores, edits.source_indices, strict=True)
    ]


def with_background(
    score: Callable[[EditBatch], Sequence[float]], background: str
) -> Callable[[EditBatch], Sequence[float]]:
    """A metric of the background that takes ``inside`` the mask, or ``everything``, for background."""

    def of_region(edits: EditBatch) -> Sequence[float]:
        return score(edits.under(edits.protocol.choosing({"mask": {"background": background}})))

    return of_region


def in_regions(outside: Metric) -> tuple[Metric, Metric, Metric]:
    """A metric of the background, the same of the whole picture, and of the edited region."""
    return (
        outside,
        replace(
            outside,
            title=f"{outside.title} (whole picture)",
            score=with_background(outside.score, "everything"),
        ),
        replace(
            outside,
            title=f"{outside.title} (edited region)",
            score=with_background(outside.score, "inside"),
        ),
    )


PSNR_OUTSIDE, PSNR_EVERYWHERE, PSNR_INSIDE = in_regions(
    Metric(
        title="PSNR",
        paper=_PIE_BENCH,
        better="higher",
        score=background_psnr,
        sections=(*PAIR_SECTIONS, "background"),
        unit="dB",
    )
)
MSE_OUTSIDE, MSE_EVERYWHERE, MSE_INSIDE = in_regions(
    Metric(
        title="MSE",
        paper=_PIE_BENCH,
        better="lower",
        score=background_mse,
        sections=(*PAIR_SECTIONS, "background"),
        scale=1e4,
        unit="×10⁴",
    )
)
