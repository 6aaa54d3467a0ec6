"""Uni-Edit: guidance away from the source prompt, at each place as far as both prompts differ there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.words import truncation_notes
from piebench_eval.methods.base import Method, PreparedController, Prompts
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.models.base import DiffusionModel

_EPSILON = 1e-7
"""Added to the range of a signed mask, as the published diffusers code does."""


class UniEditSettings(Settings):
    """Settings of Uni-Edit; the defaults are those of its published FLUX code."""

    omega: float = Field(
        default=5.0,
        ge=0,
        description="weight of the guidance away from the source prompt; the recipe's guidance multiplies it "
        "all, and is 1 in the published code",
    )
    inversion_prompt: Literal["empty", "source"] = Field(
        default="empty", description="what the picture is inverted with"
    )
    mask: Literal["magnitude", "signed"] = Field(
        default="magnitude",
        description="what is scaled to 0..1 over the picture: the mean magnitude of the difference of both "
        "prompts' outputs, as in the published FLUX code, or its mean, as in the published diffusers code",
    )


def prompts(sample: Sample, settings: UniEditSettings) -> Prompts:
    """The sample's own prompts; the target is guided away from the source prompt."""
    source = sample.source_prompt
    inversion = source if settings.inversion_prompt == "source" else ""
    return Prompts(inversion, source, sample.target_prompt, negative=source)


def prepare(
    samples: Sequence[Sample], model: DiffusionModel, steps: int, settings: UniEditSettings
) -> PreparedController:
    """A controller that bends the target's guidance and reads nothing of the source."""
    notes = [
        truncation_notes({"source": sample.source_prompt, "target": sample.target_prompt}, model.tokenizer)
        for sample in samples
    ]
    return PreparedController(UniEditController(len(samples), settings), notes)


class UniEditController(AttentionController):
    """Guides the target by v_S + (m + (1 + m) omega) d, with d = v_T - v_S.

    v_T and v_S are the outputs for the target and the source prompt, both on the target's latents, and m is
    ``difference_mask``.
    """

    modifies_target_guidance = True

    def __init__(self, num_samples: int, settings: UniEditSettings):
        super().__init__(num_samples)
        self._settings = settings

    def modify_target_guidance(self, target: torch.Tensor) -> torch.Tensor:
        """Return (m + (1 + m) omega) d for the difference d ``[samples, channels, h, w]``."""
        mask = difference_mask(target, self._settings.mask)
        return (mask + (1 + mask) * self._settings.omega) * target


def difference_mask(difference: torch.Tensor, of: Literal["magnitude", "signed"]) -> torch.Tensor:
    """Where two prompts' outputs differ, scaled to 0..1 over each picture.

    Args:
        difference: of the outputs ``[samples, channels, h, w]``.
        of: see ``UniEditSettings.mask``.

    Returns:
        ``[samples, 1, h, w]``; 0 everywhere where the outputs are equal, which the published FLUX code turns
        into 0 / 0.
    """
    of_channels = difference.abs() if of == "magnitude" else difference
    size = of_channels.mean(dim=1, keepdim=True)
    lowest, highest = size.amin(dim=(2, 3), keepdim=True), size.amax(dim=(2, 3), keepdim=True)
    extent = highest - lowest
    divisor = extent + _EPSILON if of == "signed" else extent.where(extent > 0, 1.0)
    return (size - lowest) / divisor


UNI_EDIT = Method(
    title="Uni-Edit",
    paper="Jiao et al., UniEdit-Flow: Unleashing Inversion and Editing in the Era of Flow Models, 2025",
    equation="Uni-Edit: guidance away from the source prompt, weighted by where both differ",
    settings=UniEditSettings,
    prepare=prepare,
    prompts=prompts,
    attention=(),
    policies=("classifier_free",),
)
