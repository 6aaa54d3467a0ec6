"""How well the picture outside the mask is preserved: structural similarity (Wang et al., 2004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.metrics.background import in_regions, without_background_nan
from piebench_eval.metrics.base import PAIR_SECTIONS, Metric

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.metrics.edits import Edits
    from piebench_eval.metrics.protocol import SsimRules

_BORDER = 5
_GREY = (0.299, 0.587, 0.114)


def ssim_map(source: torch.Tensor, edited: torch.Tensor, data_range: float = 1.0) -> torch.Tensor:
    """Structural similarity around each pixel: Gaussian window of 11 pixels, sigma 1.5, K1 0.01, K2 0.03.

    Args:
        source: ``[1, channels, height, width]``; at least 11 pixels a side.
        edited: likewise.
        data_range: largest minus smallest value.

    Returns:
        ``[1, channels, height, width]``.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _, similarity = structural_similarity_index_measure(
        edited, source, sigma=1.5, data_range=data_range, k1=0.01, k2=0.03, return_full_image=True
    )
    return similarity


def background_ssim(edits: Edits) -> list[float]:
    """SSIM of what should not change; nan where there is nothing of it.

    The outer 5 pixels of the map are left out by default, as torchmetrics did when the paper was written and
    does no more: there the window would reach beyond the picture.
    """
    rules = edits.protocol.ssim
    backgrounds, sources = edits.backgrounds, edits.source_images
    scores = [
        _score(edits, sources[owner], image, backgrounds[owner], rules)
        for image, owner in zip(edits.images, edits.owners, strict=True)
    ]
    return without_background_nan(edits, scores)


def _score(
    edits: Edits,
    source: NDArray[np.uint8],
    image: NDArray[np.uint8],
    background: BoolMask,
    rules: SsimRules,
) -> float:
    import torch

    pair = edits.levels([source, image])
    kept = torch.from_numpy(background).to(pair.device)
    if rules.area == "picture":
        pair = pair * kept
    if rules.levels == "0..1":
        pair = pair / 255
    if rules.colour == "grey":
        weights = torch.tensor(_GREY, device=pair.device)[:, None, None]
        pair = (pair * weights).sum(dim=1, keepdim=True)
    if rules.window == "uniform":
        return _uniform_ssim(pair[0], pair[1], rules.data_range)
    similarity = ssim_map(pair[:1], pair[1:], rules.data_range)[0]
    if rules.area == "kept":
        return float(similarity[:, kept].mean())
    if rules.border == "left_out":
        similarity = similarity[..., _BORDER:-_BORDER, _BORDER:-_BORDER]
    return float(similarity.mean())


def _uniform_ssim(source: torch.Tensor, edited: torch.Tensor, data_range: float) -> float:
    """SSIM as scikit-image computes it unless told otherwise, ``[channels, height, width]``."""
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            source.cpu().numpy(), edited.cpu().numpy(), data_range=data_range, channel_axis=0
        )
    )


SSIM_OUTSIDE, SSIM_EVERYWHERE, SSIM_INSIDE = in_regions(
    Metric(
        title="SSIM",
        paper="Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004",
        better="higher",
        score=background_ssim,
        sections=(*PAIR_SECTIONS, "ssim"),
        scale=1e2,
        unit="×10²",
    )
)
