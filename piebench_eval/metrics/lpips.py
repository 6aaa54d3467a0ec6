"""LPIPS outside the mask (Zhang et al., CVPR 2018), with SqueezeNet as in PIE-Bench, AlexNet or VGG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.metrics.background import in_regions, without_background_nan
from piebench_eval.metrics.base import PAIR_SECTIONS, Metric
from piebench_eval.metrics.networks.metric_models import LPIPS_ROLE, lpips_role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.metrics.protocol import LpipsRules
    from piebench_eval.metrics.scoring_batch import ScoringBatch

_PAPER = "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018"


def background_lpips(role: str) -> Callable[[ScoringBatch], Sequence[float]]:
    r"""The metric function of LPIPS outside the mask; nan where the mask covers the whole image.

    $$d = \sum_l \frac{1}{H_l W_l} \sum_p \sum_c w^l_c
    \bigl( \hat\phi^l_{cp}(m \odot y) - \hat\phi^l_{cp}(m \odot x) \bigr)^2$$

    $\hat\phi^l$ are the features of layer $l$, of unit length across channels, $w^l$ the published weights of
    the channels, $x$ the source and $y$ the edit in -1..1, black ($m = 0$) inside the mask.

    Args:
        role: the network, a field of ``MetricModels``; ``lpips_weights`` stands for the backbone that the
            protocol names, SqueezeNet by default.

    Returns:
        A function from a batch of edits to a score per edit.
    """

    def score(edits: ScoringBatch) -> list[float]:
        rules = edits.protocol.lpips
        network = edits.networks.lpips(lpips_role(rules.network) if role == LPIPS_ROLE else role)

        def features(image: NDArray[np.uint8], index: int) -> list[torch.Tensor]:
            pixels = network_input(edits, image, edits.backgrounds[index], rules)
            with edits.networks.autocast():
                return network.features(pixels)

        scores = [float("nan")] * len(edits.source_indices)
        for index, source in enumerate(edits.source_images):
            of_source = features(source, index)  # dropped before the next: features are large
            for position in (at for at, own_index in enumerate(edits.source_indices) if own_index == index):
                maps = network.maps(of_source, features(edits.images[position], index))
                scores[position] = _distance(maps, edits.backgrounds[index], rules)
        return without_background_nan(edits, scores)

    return score


def network_input(
    edits: ScoringBatch, image: NDArray[np.uint8], background: BoolMask, rules: LpipsRules
) -> torch.Tensor:
    """An image in the network's value range with its masked region black or grey, ``[1, 3, h, w]``."""
    import torch
    from torch.nn import functional

    pixels = edits.to_tensor([image]) / 255
    kept = torch.from_numpy(background).to(pixels.device)
    if rules.area == "kept":
        kept = torch.ones_like(kept)
    if rules.hole == "black":
        pixels = pixels * kept
    if rules.levels == "-1..1":
        pixels = pixels * 2 - 1
    if rules.hole == "grey":
        pixels = pixels * kept
    if rules.side is not None:
        size = (rules.side, rules.side)
        pixels = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels


def _distance(maps: list[torch.Tensor], background: BoolMask, rules: LpipsRules) -> float:
    import torch
    from torch.nn import functional

    if rules.area == "picture":
        return float(torch.stack([layer.mean() for layer in maps]).sum())
    enlarged = [
        functional.interpolate(layer, size=background.shape, mode="bilinear", align_corners=False)
        for layer in maps
    ]
    kept = torch.from_numpy(background).to(enlarged[0].device)
    return float(torch.stack(enlarged).sum(dim=0)[0, 0, kept].mean())


def _metric(title: str, role: str) -> Metric:
    return Metric(
        title=title,
        paper=_PAPER,
        better="lower",
        score=background_lpips(role),
        sections=(*PAIR_SECTIONS, "lpips"),
        networks=(role,),
        scale=1e3,
        unit="×10³",
    )


LPIPS_OUTSIDE, LPIPS_EVERYWHERE, LPIPS_INSIDE = in_regions(_metric("LPIPS", LPIPS_ROLE))
LPIPS_ALEX = _metric("LPIPS (AlexNet)", "lpips_alex")
LPIPS_VGG = _metric("LPIPS (VGG)", "lpips_vgg")
