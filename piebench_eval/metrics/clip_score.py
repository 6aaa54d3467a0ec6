"""CLIP score (Hessel et al., EMNLP 2021) and directional similarity (Gal et al., SIGGRAPH 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.metrics.base import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.masks import BoolMask
    from piebench_eval.metrics.scoring_batch import ScoringBatch

_HESSEL = "Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning, EMNLP 2021"


def clip_similarity(images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    r"""CLIP score of pairs of embeddings: 100 times their cosine, at least 0.

    $$\mathrm{CLIP} = \max \bigl( 0, \; 100 \cos ( E_I, E_T ) \bigr)$$

    Args:
        images: image embeddings $E_I$, ``[pairs, width]``.
        texts: text embeddings $E_T$, likewise.

    Returns:
        ``[pairs]``, 0 to 100.

    >>> import torch
    >>> clip_similarity(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).tolist()
    [100.0]
    """
    import torch

    return (100 * torch.cosine_similarity(images, texts)).clamp(min=0)


def source_scores(edits: ScoringBatch) -> list[float]:
    """CLIP score of the source image and the source prompt, one per edit; see ``clip_similarity``."""
    scores = clip_similarity(_source_embeddings(edits), _prompt_embeddings(edits, 0))
    return edits.per_edit(scores.tolist())


def target_scores(edits: ScoringBatch) -> list[float]:
    """CLIP score of the edit and the target prompt, one per edit; see ``clip_similarity``."""
    return clip_similarity(_edit_embeddings(edits), _target_embeddings(edits)).tolist()


def edit_part_scores(edits: ScoringBatch) -> list[float]:
    """CLIP score of the edited region and the target prompt, one per edit; nan where the mask is empty.

    The edit is black outside the mask by default; see ``edit_part`` and ``clip_similarity``.
    """
    parts = [
        edit_part(
            image,
            edits.annotated[index],
            edits.regions[index],
            edits.protocol.clip.edit_part,
        )
        for image, index in zip(edits.images, edits.source_indices, strict=True)
    ]
    # A region that is the whole image has the embedding of the image.
    cut = [part for part, image in zip(parts, edits.images, strict=True) if part is not image]
    embedded = iter(_embed(edits, [part for part in cut if part is not None]))
    scores = []
    for part, image, whole, target in zip(
        parts, edits.images, _edit_embeddings(edits), _target_embeddings(edits), strict=True
    ):
        if part is None:
            scores.append(float("nan"))
        else:
            embedding = whole if part is image else next(embedded)
            scores.append(float(clip_similarity(embedding[None], target[None])))
    return scores


def edit_part(
    image: NDArray[np.uint8], annotated: BoolMask, region: BoolMask, rule: str
) -> NDArray[np.uint8] | None:
    """The edited region as CLIP sees it; None if it is empty, ``image`` itself if it is the whole image.

    Args:
        image: the edit, ``[height, width, 3]``.
        annotated: the mask without the frame, ``[height, width]``.
        region: the edited region, ``[height, width]``.
        rule: ``clip.edit_part`` of the protocol.

    Returns:
        ``[height, width, 3]``, or for the rules with ``box`` its bounding box.

    >>> image, mask = np.full((2, 2, 3), 7, np.uint8), np.array([[True, False], [False, False]])
    >>> edit_part(image, mask, mask, "masked")[..., 0].tolist()
    [[7, 0], [0, 0]]
    >>> edit_part(image, mask, mask, "box").shape
    (1, 1, 3)
    """
    area = annotated if rule in ("box", "masked_box") else region
    if not area.any():
        return None
    if area.all():
        return image
    if rule == "white":
        return np.where(area[..., None], image, np.uint8(255))
    part = image if rule in ("box", "framed_box") else image * area[..., None].astype(np.uint8)
    if rule == "masked":
        return part
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    return part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def directional_similarities(edits: ScoringBatch) -> list[float]:
    r"""Cosine of the change of image and the change of prompt, -1 to 1 (Gal et al., equation 2).

    $$\cos \bigl( E_I(y) - E_I(x), \; E_T(t_y) - E_T(t_x) \bigr)$$

    $x$ and $y$ are the source and the edit, $t_x$ and $t_y$ their prompts, all embeddings of unit length; nan
    where image or prompt is unchanged.
    """
    import torch
    from torch.nn.functional import normalize

    sources = torch.stack(edits.per_edit(list(_source_embeddings(edits))))
    image_changes = normalize(_edit_embeddings(edits)) - normalize(sources)
    prompt_changes = normalize(_prompt_embeddings(edits, 1)) - normalize(_prompt_embeddings(edits, 0))
    scores = torch.cosine_similarity(
        image_changes, torch.stack(edits.per_edit(list(prompt_changes)))
    ).tolist()
    # By pixels: embeddings of one image in two batches differ in their last digits.
    same = [
        np.array_equal(image, edits.source_images[index]) or len(set(edits.prompts[index])) == 1
        for image, index in zip(edits.images, edits.source_indices, strict=True)
    ]
    return [float("nan") if unchanged else score for score, unchanged in zip(scores, same, strict=True)]


def _edit_embeddings(edits: ScoringBatch) -> torch.Tensor:
    rules = [edits.protocol.pictures, *_image_rules(edits)]
    return edits.cached("CLIP of edits", rules, lambda: _embed(edits, edits.images))


def _source_embeddings(edits: ScoringBatch) -> torch.Tensor:
    rules = [edits.channels, *_image_rules(edits)]
    return edits.cached("CLIP of sources", rules, lambda: _embed(edits, edits.source_images))


def _image_rules(edits: ScoringBatch) -> tuple[str | None, ...]:
    """The rules that the embedding of a whole image depends on."""
    rules = edits.protocol.clip
    return rules.network, rules.activation, rules.processor


def _prompt_embeddings(edits: ScoringBatch, position: int) -> torch.Tensor:
    """Embeddings of the sources' source prompts (0) or target prompts (1), ``[sources, width]``."""

    def compute() -> torch.Tensor:
        protocol = edits.protocol
        clip = edits.networks.clip(protocol.clip.network, protocol.clip.activation)
        prompts = [pair[position] for pair in edits.prompts]
        with edits.networks.autocast():
            embeddings = clip.texts(prompts, keep_end=protocol.prompts.too_long == "truncated").float()
        if position == 1:
            embeddings[[not there for there in edits.has_target]] = float("nan")
        return embeddings

    rules = [edits.protocol.prompts, edits.protocol.clip.network, edits.protocol.clip.activation]
    return edits.cached(f"CLIP of prompts {position}", rules, compute)


def _target_embeddings(edits: ScoringBatch) -> torch.Tensor:
    import torch

    return torch.stack(edits.per_edit(list(_prompt_embeddings(edits, 1))))


def _embed(edits: ScoringBatch, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    import torch

    networks, rules = edits.networks, edits.protocol.clip
    clip = networks.clip(rules.network, rules.activation)
    embeddings = []
    for start in range(0, len(images), networks.batch_size):
        pixels = clip.pixels(images[start : start + networks.batch_size], rules.processor)
        with networks.autocast():
            embeddings.append(clip.images(pixels.to(networks.device)).float())
    return torch.cat(embeddings) if embeddings else torch.empty(0)


def _metric(title: str, score: Callable[[ScoringBatch], Sequence[float]], *more_sections: str) -> Metric:
    return Metric(
        title=title,
        paper=_HESSEL,
        better="higher",
        score=score,
        sections=("pictures", "prompts", "clip", *more_sections),
        networks=("clip",),
    )


CLIP_SOURCE = _metric("CLIP score of the source", source_scores)
CLIP_TARGET = _metric("CLIP score, whole picture", target_scores)
CLIP_EDIT_PART = _metric("CLIP score, edited region", edit_part_scores, "mask")
CLIP_DIRECTIONAL = Metric(
    title="CLIP directional similarity",
    paper="Gal et al., StyleGAN-NADA: CLIP-Guided Domain Adaptation of Image Generators, SIGGRAPH 2022",
    better="higher",
    score=directional_similarities,
    sections=("pictures", "prompts", "clip"),
    networks=("clip",),
    scale=1e2,
    unit="×10²",
)
