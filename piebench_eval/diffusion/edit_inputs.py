"""What an edit begins with: a batch of samples as the model sees them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from piebench_eval.diffusion.guidance import Guidance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.diffusion.features import FeatureMemory
    from piebench_eval.diffusion.observer import EditObserver
    from piebench_eval.models.conditioning import Conditioning


@dataclass(frozen=True)
class EditInputs:
    """A batch of samples as the model sees them.

    The editing method chooses the prompts; all conditionings have one row per sample. Which prompts are equal
    is known on the host, since comparing embeddings would wait for the device.

    Attributes:
        latents: encoded images ``[samples, channels, h, w]``.
        inversion_embeds: the prompts that the images are inverted with.
        source_embeds: the source branch's prompts.
        target_embeds: the target branch's prompts.
        uncond_embeds: what unconditional rows are conditioned on: the empty prompt, or zeros.
        negative_embeds: what the target branch is guided away from, by default ``uncond_embeds``.
        source_is_uncond: for each sample, whether the source branch's prompt is what ``uncond_embeds`` are.
        source_is_inversion: for each sample, whether it is the prompt that the image is inverted with.
        same_source: for each sample, the first one with the same image, prompt of the inversion and source
            prompt; None where that is not known, or the target may change what is computed of the source.
        guidance: guidance of both branches.
        seed: seed of each sample's noise, for inversions that draw any.
        draws_before: how often noise of the shape of the latents has been drawn by this seed already, for the
            posterior: inversions draw on from there.
        noise_on_device: noise is drawn by the generator of the latents' device, not by the CPU's.
        packing: noise is drawn in the order of latents that are packed so, see ``Family.packing``.
        features: what an editing method keeps of the inversion's attention; nothing if None.
        masks: the benchmark's masks ``[samples, 1, h, w]``, 1 where pictures are edited; None unless an
            editor declares that it looks at them.
        pictures: the images themselves, each ``[height, width, 3]``; None where only latents are at hand.
        observer: looks on while the batch is edited; nobody does if None.
    """

    latents: torch.Tensor
    inversion_embeds: Conditioning
    source_embeds: Conditioning
    target_embeds: Conditioning
    uncond_embeds: Conditioning
    negative_embeds: Conditioning
    source_is_uncond: Sequence[bool]
    source_is_inversion: Sequence[bool]
    same_source: Sequence[int] | None = None
    guidance: Guidance = field(default_factory=Guidance)
    seed: int = 1234
    draws_before: int = 0
    noise_on_device: bool = False
    packing: int = 1
    features: FeatureMemory | None = None
    masks: torch.Tensor | None = None
    pictures: Sequence[NDArray[np.uint8]] | None = None
    observer: EditObserver | None = None

    @property
    def drawing(self) -> dict[str, Any]:
        """What drawn noise depends on, for cache keys."""
        further = {"draws_before": self.draws_before, "noise_on_device": self.noise_on_device}
        return {"seed": self.seed, **{name: value for name, value in further.items() if value}}
