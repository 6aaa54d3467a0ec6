"""Uni-Edit: the difference of both prompts' velocities is followed the more, the larger it is in a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.methods.base import Method, PreparedController, Prompts, notes_on_prompts
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel


class UniEditSettings(Settings):
    """Settings of Uni-Edit."""

    inversion_prompt: Literal["empty", "source"] = Field(
        default="empty",
        description="prompt of the inversion: empty as in the published code, or the sample's",
    )
    omega: float = Field(
        default=5.0,
        ge=0,
        description="strength of the edit; the guidance scale multiplies it, and is 1 as published",
    )
    mask: Literal["absolute", "signed"] = Field(
        default="absolute",
        description="where the edit is: by the channels' mean of the difference's absolute value, or of the "
        "difference itself as in UniEdit-Flow's schedulers for diffusers, by which it runs Stable Diffusion "
        "3; from 0 to 1 in each picture, where the code for FLUX, which edits one at a time, takes the range "
        "of all that it is given",
    )


def prompts(sample: Sample, settings: UniEditSettings) -> Prompts:
    """The target is guided from the source prompt to the target prompt."""
    source = sample.source_prompt
    inversion = source if settings.inversion_prompt == "source" else ""
    return Prompts(inversion, source, sample.target_prompt, negative=source)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: UniEditSettings
) -> PreparedController:
    """Set up the controller of a batch."""
    texts = [prompts(sample, settings) for sample in samples]
    notes = notes_on_prompts(texts, model)
    return PreparedController(UniEditController(len(samples), settings, model.family.packing), notes)


class UniEditController(AttentionController):
    """Uni-Edit in the edit loop: both velocities are those of the target's latents.

    With the source prompt in the place of the negative one, the velocity m v_t + (1 - m) v_s + omega (1 + m)
    (v_t - v_s) is guidance with the scale m + omega (1 + m), where m is the mask.

    Attributes:
        settings: the method's section of the recipe.
        packing: side of the patches that the mask has a value for, see ``Family.packing``.
    """

    modifies_target_guidance = True

    def __init__(self, num_samples: int, settings: UniEditSettings, packing: int = 1):
        super().__init__(num_samples)
        self.settings = settings
        self.packing = packing

    def modify_target_guidance(self, target: torch.Tensor) -> torch.Tensor:
        """The difference of both prompts' velocities, more of it where it is larger."""
        mask = edit_mask(target, self.settings.mask, self.packing)
        self.note_mask(range(self.num_samples), mask)
        return (mask + self.settings.omega * (1 + mask)) * target


def edit_mask(
    difference: torch.Tensor, kind: Literal["absolute", "signed"], packing: int = 1
) -> torch.Tensor:
    """Where an edit is, from 0 to 1 in each picture.

    Args:
        difference: the target's velocity less the source's ``[samples, channels, h, w]``.
        kind: see ``UniEditSettings``.
        packing: side of the patches within which the mask is the same: their values' mean.

    Returns:
        ``[samples, 1, h, w]``; 0 everywhere where there is no difference.

    >>> import torch
    >>> edit_mask(torch.tensor([[[[-2.0, 1.0, 0.0]]]]), "absolute")
    tensor([[[[1.0000, 0.5000, 0.0000]]]])
    """
    from torch.nn.functional import avg_pool2d, interpolate

    values = (difference.abs() if kind == "absolute" else difference).mean(dim=1, keepdim=True)
    if packing > 1:
        values = avg_pool2d(values, packing)
    low, high = values.amin(dim=(2, 3), keepdim=True), values.amax(dim=(2, 3), keepdim=True)
    extent = high - low
    # The published codes divide by it as it is, and by it plus this number.
    divisor = extent.where(extent > 0, 1.0) if kind == "absolute" else extent + 1e-7
    mask = (values - low) / divisor
    return mask if packing == 1 else interpolate(mask, scale_factor=packing, mode="nearest")


def caution(guidance: float, source_guidance: float) -> str | None:
    """A scale of the edit, beside Uni-Edit's own in each place."""
    if guidance == 1:
        return None
    return (
        f"uni_edit goes {guidance:g} times as far from the source prompt as its setting omega says, since "
        f"guidance is {guidance:g}; its authors' code has 1: --guidance 1, or --config uniedit-sd3"
    )


UNI_EDIT = Method(
    title="Uni-Edit",
    paper="Jiao et al., UniEdit-Flow: Unleashing Inversion and Editing in the Era of Flow Models, 2025",
    equation="Uni-Edit, its region-adaptive guidance and velocity fusion",
    settings=UniEditSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(),
    policies=("classifier_free",),
    predicts=("velocity",),
    caution=caution,
)
