"""Scoring edits: models loaded once, source-side features computed once per sample."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from piebench_eval.demo.embedded import locate
from piebench_eval.loading import use_exact_float32
from piebench_eval.metrics import background, clip_score, columns, perceptual, structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from piebench_eval.bench.rle import BoolMask
    from piebench_eval.metrics.networks import MetricModels


class Suite:
    """The networks behind the eight official columns."""

    def __init__(self, models: MetricModels, device: torch.device):
        """Load all three networks.

        Raises:
            PiebenchError: one of them cannot be loaded.
        """
        use_exact_float32()
        self.device = device
        self.structure = structure.StructureFeatures(locate("dino", models.dino), device)
        self.lpips = perceptual.PerceptualDistance(locate("lpips_weights", models.lpips_weights), device)
        self.clip = clip_score.ClipFeatures(locate("clip", models.clip), device)


class SourceFeatures:
    """What the scores of all edits of one sample share; computed when first asked for."""

    def __init__(
        self,
        suite: Suite,
        image: NDArray[np.uint8],
        mask: BoolMask,
        source_prompt: str,
        target_prompt: str,
    ):
        """Take the sample's side of the comparison.

        Args:
            suite: the networks.
            image: source picture ``[height, width, 3]``.
            mask: True where the picture should be edited, ``[height, width]``.
            source_prompt: prompt of the source picture, without brackets.
            target_prompt: prompt of the edited picture, without brackets.
        """
        self.suite, self.image, self.mask = suite, image, mask
        self._source_prompt, self._target_prompt = source_prompt, target_prompt

    @cached_property
    def self_similarity(self) -> torch.Tensor:
        """Key self-similarity of the source picture."""
        return self.suite.structure(_levels(self.image))

    @cached_property
    def clip_source(self) -> float:
        """CLIP score of the source picture and the source prompt."""
        clip = self.suite.clip
        return clip_score.clip_similarity(clip.image(self.image), clip.text(self._source_prompt))

    @cached_property
    def target_text(self) -> torch.Tensor:
        """CLIP embedding of the target prompt."""
        return self.suite.clip.text(self._target_prompt)

    @cached_property
    def kept(self) -> torch.Tensor:
        """1 outside the mask, ``[1, height, width]``."""
        return torch.from_numpy(~self.mask).float()[None].to(self.suite.device)

    @cached_property
    def masked(self) -> torch.Tensor:
        """The source picture in 0..1 with the masked part black, ``[1, 3, height, width]``."""
        return self.masked_like(self.image)

    def masked_like(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """A picture in 0..1 with this sample's masked part black, ``[1, 3, height, width]``."""
        return (_levels(image).to(self.suite.device) / 255 * self.kept)[None]


def score_edit(source: SourceFeatures, edited: NDArray[np.uint8]) -> dict[str, float]:
    """Score one edit.

    Args:
        source: the sample's side.
        edited: edited picture, same shape as the source.

    Returns:
        A value for each of ``columns.COLUMNS``; the background columns are nan if the mask covers
        everything.

    Raises:
        ValueError: the pictures differ in shape.
    """
    if edited.shape != source.image.shape:
        raise ValueError(f"the edit has shape {edited.shape}, its source {source.image.shape}")
    suite = source.suite
    distance = structure.structure_distance(source.self_similarity, suite.structure(_levels(edited)))
    edit_part = edited * source.mask[..., None].astype(np.uint8)
    scores = {
        columns.STRUCTURE_DISTANCE: distance,
        **dict.fromkeys(columns.BACKGROUND_COLUMNS, float("nan")),
        columns.CLIP_SOURCE: source.clip_source,
        columns.CLIP_TARGET: clip_score.clip_similarity(suite.clip.image(edited), source.target_text),
        columns.CLIP_EDIT_PART: clip_score.clip_similarity(suite.clip.image(edit_part), source.target_text),
    }
    if not source.mask.all():
        masked = source.masked_like(edited)
        scores[columns.PSNR] = background.masked_psnr(source.masked, masked)
        scores[columns.LPIPS] = suite.lpips(source.masked, masked)
        scores[columns.MSE] = background.masked_mse(source.masked, masked)
        scores[columns.SSIM] = background.masked_ssim(source.masked, masked)
    return scores


def _levels(image: NDArray[np.uint8]) -> torch.Tensor:
    """Grey levels 0..255 as float32, ``[3, height, width]``."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous().float()
