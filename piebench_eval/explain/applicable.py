"""Which deviations can be tried on edited images: what can change a score, with networks that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.demo.embedded import is_embedded
from piebench_eval.errors import PiebenchError
from piebench_eval.explain.deviations import DEVIATIONS, other_clip
from piebench_eval.metrics import METRICS
from piebench_eval.metrics.networks.metric_models import LPIPS_BACKBONES, LPIPS_ROLE, OPEN_CLIP, lpips_role
from piebench_eval.metrics.protocol import PAPER
from piebench_eval.models.hub import looks_like_hub_id
from piebench_eval.scoring.images import is_resized, is_strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from piebench_eval.explain.deviations import Deviation
    from piebench_eval.explain.hypotheses import Claim
    from piebench_eval.metrics.networks.metric_models import MetricModels
    from piebench_eval.metrics.networks.metric_networks import MetricNetworks
    from piebench_eval.metrics.protocol import Protocol
    from piebench_eval.scoring.edited_images import EditedImage


def applicable_deviations(
    edited_images: Sequence[EditedImage], models: MetricModels, other_clips: Iterable[str] = ()
) -> list[Deviation]:
    """The deviations that can change a score of these images.

    Networks by other names are tried where those that score the images are public ones too, or were named:
    whoever scores with files of their own says which other files there are.

    Args:
        edited_images: the images.
        models: the networks that they are scored with.
        other_clips: other CLIPs that may have been used.

    Raises:
        PiebenchError: an image cannot be read.
    """
    named = dict.fromkeys(other_clips)
    known = [
        deviation
        for deviation in DEVIATIONS
        if deviation.changes.get("clip", {}).get("network") not in named
        and _fits_images(deviation, edited_images)
        and _fits_networks(deviation, models)
    ]
    return [*known, *map(other_clip, named)]


def _fits_images(deviation: Deviation, edited_images: Sequence[EditedImage]) -> bool:
    """Whether a deviation can change a score, given the files, the instructions and the editing types."""
    pictures, average = deviation.changes.get("pictures", {}), deviation.changes.get("average", {})
    if "panel" in pictures:
        return any(map(is_strip, edited_images))
    if "resize" in pictures:
        return any(map(is_resized, edited_images))
    if "target" in deviation.changes.get("prompts", {}):
        return any(edited_image.sample.instruction.strip() for edited_image in edited_images)
    counted = {edited_image.sample.type_id for edited_image in edited_images}
    if "over" in average:
        return len(counted) > 1
    types = average.get("types")
    return types is None or 0 < len(counted & set(types)) < len(counted)


def _fits_networks(deviation: Deviation, models: MetricModels) -> bool:
    """Whether a deviation can be tried beside these networks, and makes a difference to them."""
    clip, lpips = (deviation.changes.get(section, {}) for section in ("clip", "lpips"))
    if {"processor", "activation"} & set(clip):
        return not models.clip.startswith(OPEN_CLIP)
    if "network" in clip:
        return clip["network"] != models.clip and looks_like_hub_id(models.clip)
    if "network" in lpips:
        role = lpips_role(lpips["network"])
        was_named = getattr(models, role) != LPIPS_BACKBONES[role].torchvision
        is_public = models.lpips_weights == LPIPS_BACKBONES[LPIPS_ROLE].torchvision
        return not is_embedded(models.lpips_weights) and (was_named or is_public)
    return True


def with_networks(
    deviations: Iterable[Deviation], claims: Sequence[Claim], networks: MetricNetworks
) -> tuple[list[Deviation], list[str]]:
    """Leave out the deviations whose networks cannot be had, of those that affect a claim.

    Args:
        deviations: from ``applicable_deviations``.
        claims: the reported numbers; what needs no other network for them is not loaded.
        networks: where they are loaded.

    Returns:
        The deviations that can be tried, and a line for each of the others.

    Raises:
        PiebenchError: a CLIP that the user named cannot be loaded.
    """
    found, lines = [], []
    for deviation in deviations:
        try:
            networks.load(*_other_networks(deviation, claims))
        except PiebenchError as error:
            if deviation not in DEVIATIONS:
                raise
            copy = "; a copy of it is tried with --try-clip FOLDER" if "clip" in deviation.changes else ""
            lines.append(f"not tried: {deviation.title} ({str(error).splitlines()[0]}){copy}")
        else:
            found.append(deviation)
    return found, lines


def _other_networks(deviation: Deviation, claims: Sequence[Claim]) -> tuple[list[str], Protocol]:
    """The networks beside those that score the images which a deviation needs for the claims."""
    protocol = PAPER.with_changes(deviation.changes)
    sections = {section for section, fields in deviation.changes.items() if "network" in fields}
    metrics = [METRICS.get(claim.metric.column) for claim in claims]
    roles = {
        role
        for metric in metrics
        if sections & set(metric.sections)
        for role in metric.networks_under(protocol)
    }
    return sorted(roles & {"clip", lpips_role(protocol.lpips.network)}), protocol
