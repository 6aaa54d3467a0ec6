"""MSE and PSNR outside the mask.

The masked region is black in both images and counts in the mean, as in the published tables: a larger mask
gives better numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.metrics.base import PAIR_SECTIONS, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch

    from piebench_eval.metrics.scoring_batch import ScoringBatch

_PIE_BENCH = "Ju et al., PnP Inversion, ICLR 2024"


def masked_mse(source: torch.Tensor, edited: torch.Tensor) -> torch.Tensor:
    r"""Mean squared error of each pair of images.

    $$\mathrm{MSE}(a, b) = \frac{1}{3HW} \sum_{c,p} (b_{cp} - a_{cp})^2$$

    Args:
        source: ``[pairs, 3, height, width]`` in 0..1, black in the masked region.
        edited: as ``source``.

    Returns:
        ``[pairs]``.

    >>> import torch
    >>> masked_mse(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.5)).tolist()
    [0.25]
    """
    return (edited - source).square().mean(dim=(1, 2, 3))


def psnr_of(mse: torch.Tensor) -> torch.Tensor:
    r"""Peak signal-to-noise ratio in dB for a data range of 1; inf for identical images.

    $$\mathrm{PSNR} = -10 \log_{10} \mathrm{MSE}$$

    Args:
        mse: mean squared errors, of any shape.

    Returns:
        The same shape.

    >>> import torch
    >>> psnr_of(torch.tensor([0.01, 0.0])).tolist()
    [20.0, inf]
    """
    return -10 * mse.log10()


def background_mse(edits: ScoringBatch) -> list[float]:
    r"""MSE outside the mask, one per edit; nan where the mask covers the whole image.

    $$\mathrm{MSE} = \frac{1}{3HW} \sum_{c,p} \bigl( m_p \, y_{cp} - m_p \, x_{cp} \bigr)^2$$

    $x$ is the source and $y$ the edit, in 0..1; $m$ is 1 outside the mask and 0 inside.
    """
    return without_background_nan(edits, _mse(edits, edits.protocol.background.difference).tolist())


def background_psnr(edits: ScoringBatch) -> list[float]:
    r"""PSNR outside the mask in dB, one per edit; nan where the mask covers the whole image.

    $$\mathrm{PSNR} = -10 \log_{10} \mathrm{MSE}$$

    with the MSE of ``background_mse``; inf where nothing outside the mask changed.
    """
    return without_background_nan(edits, psnr_of(_mse(edits, "float")).tolist())


def _mse(edits: ScoringBatch, difference: str) -> torch.Tensor:
    """Mean squared errors ``[edits]`` under the protocol, shared by PSNR and MSE."""
    protocol = edits.protocol
    rules = [protocol.pictures, protocol.mask, protocol.background.area, difference]
    return edits.cached("MSE", rules, lambda: _errors(edits, difference))


def _errors(edits: ScoringBatch, difference: str) -> torch.Tensor:
    import torch

    rules = [edits.channels, edits.protocol.mask]
    sources = edits.cached("masked sources", rules, lambda: masked_sources(edits))
    errors = []
    for position, index in enumerate(edits.source_indices):  # one by one: a batch of float images is large
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


def masked(edits: ScoringBatch, image: np.ndarray, index: int) -> torch.Tensor:
    """An image in 0..1 that is black in the masked region, ``[3, height, width]``."""
    import torch

    kept = torch.from_numpy(edits.backgrounds[index]).to(edits.networks.device)
    return edits.to_tensor([image])[0] / 255 * kept


def masked_sources(edits: ScoringBatch) -> list[torch.Tensor]:
    """The sources of a batch, each ``[3, height, width]`` and black in the masked region."""
    return [masked(edits, image, index) for index, image in enumerate(edits.source_images)]


def without_background_nan(edits: ScoringBatch, scores: Sequence[float]) -> list[float]:
    """Set the scores of edits to nan whose mask covers the whole image."""
    kept = [background.any() for background in edits.backgrounds]
    return [
        score if kept[index] else float("nan")
        for score, index in zip(scores, edits.source_indices, strict=True)
    ]


def with_background(
    score: Callable[[ScoringBatch], Sequence[float]], background: str
) -> Callable[[ScoringBatch], Sequence[float]]:
    """The same metric with another region for background: ``inside`` the mask, or ``everything``."""

    def of_region(edits: ScoringBatch) -> Sequence[float]:
        return score(edits.with_protocol(edits.protocol.with_changes({"mask": {"background": background}})))

    return of_region


def in_regions(outside: Metric) -> tuple[Metric, Metric, Metric]:
    """A metric outside the mask, of the whole image, and inside the mask."""
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
