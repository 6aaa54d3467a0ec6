"""DDCM, InfEdit's virtual inversion: the source is noised independently at each level, and never inverted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retraced
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class DdcmSettings(Settings):
    """Settings of DDCM; it has none of its own."""


def ddcm(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: DdcmSettings
) -> InversionResult:
    """Noise the image to every level independently, and let a consistency step's offsets retrace that.

    All branches start from pure noise, whatever little signal the noisiest level has. The noise that a
    consistency step adds is the same in all branches: it is what the source is noised with, so offsets
    contain it. The last step leads to the image itself: with alpha 1 there, the edit ends at

        z0 + ((x - x_s) - sqrt(1 - a) (e - e_s)) / sqrt(a)

    for the target's latents x and output e, and the source's x_s and e_s. The source's output is guided by
    its own scale, 1 in InfEdit's code.
    """
    from piebench_eval.diffusion.solvers import CONSISTENCY

    *noises, start = drawn_noise(inputs, schedule.steps)
    noised = [schedule.noised(inputs.latents, noise, level) for level, noise in enumerate(noises, 1)]
    levels = [inputs.latents, *noised, start]
    return retraced("ddcm", model, inputs, schedule, CONSISTENCY, levels, inputs.guidance)


DDCM = Inversion(
    title="DDCM (virtual inversion)",
    paper="Xu et al., Inversion-Free Image Editing with Natural Language, CVPR 2024",
    equation="virtual inversion: the consistency step of DDCM, between independently noised sources",
    settings=DdcmSettings,
    invert=ddcm,
    policies=("classifier_free", "embedded"),
)
