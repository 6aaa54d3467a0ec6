"""TurboEdit: edit-friendly noise maps of few steps, between pictures noised to shifted levels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retraced
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class TurboEditSettings(Settings):
    """Settings of TurboEdit."""

    noise_timesteps: list[Annotated[int, Field(le=999)]] | None = Field(
        default=None,
        description="training timesteps that the source is noised to for each step, the noisiest first; "
        "entries up to 0 are the picture itself; each step's own next timestep if empty",
    )
    max_norm: float | None = Field(
        default=15.5,
        gt=0,
        description="largest 2-norm of the last step's noise map, over a sample's whole latent, so that it "
        "depends on the resolution (15.5 was chosen at 512 pixels); unlimited if empty",
    )

    @field_validator("noise_timesteps")
    @classmethod
    def _noisiest_first(cls, value: list[int] | None) -> list[int] | None:
        if any(timestep <= following and following > 0 for timestep, following in pairwise(value or ())):
            raise ValueError("must descend, the noisiest first, down to those up to 0")
        return value


def turboedit(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: TurboEditSettings
) -> InversionResult:
    """Noise the image independently for each step, to the level that the step leads to, and retrace.

    Of a distilled model's few steps, edit-friendly noise maps are larger than its schedule expects, about as
    those of an earlier step; with less noise in the source than the model is told, they fit. The last step's
    map is limited, as in the published code. The source branch is set to its latents, so that the limit moves
    the target alone.

    Pseudo-guidance is the guidance of the method: away from the source prompt, by the weight w.
    """
    from piebench_eval.diffusion.solvers import ANCESTRAL

    timesteps, max_norm = settings.noise_timesteps, settings.max_norm
    if timesteps is None:
        timesteps = [*(int(t) for t in reversed(schedule.timesteps[:-1])), 0]
    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)

    def limited(level: int, noise_map: torch.Tensor) -> torch.Tensor:
        return noise_map if level > 1 or max_norm is None else within_norm(noise_map, max_norm)

    levels, unguided = noised_levels(model, inputs, timesteps), replace(inputs.guidance, source=1.0)
    how = model, inputs, schedule, ANCESTRAL, levels, unguided
    return retraced("turboedit", *how, {"noise_timesteps": timesteps}, adjusted=limited)


def problem(steps: int, settings: TurboEditSettings) -> str | None:
    """Noise timesteps that are not one per step."""
    timesteps = settings.noise_timesteps
    if timesteps is None or len(timesteps) == steps:
        return None
    return f"inversion.turboedit.noise_timesteps: are {len(timesteps)}, but steps is {steps}; make them equal"


def noised_levels(model: DiffusionModel, inputs: EditInputs, timesteps: Sequence[int]) -> list[torch.Tensor]:
    """Images noised independently to training timesteps, whatever timesteps they are sampled at.

    Args:
        model: its alphas say how much noise a timestep has.
        inputs: the batch.
        timesteps: descending, one per step; at those up to 0 an image is itself.

    Returns:
        Latents by level, each ``[samples, 4, h, w]``: the image's, then those of ``timesteps`` from the last.
    """
    from piebench_eval.diffusion.schedules import ddim_schedule

    noisy = [timestep for timestep in timesteps if timestep > 0]
    levels = [inputs.latents] * (1 + len(timesteps) - len(noisy))
    if noisy:
        noising = ddim_schedule(model.alphas_cumprod, len(noisy), timesteps=noisy)
        noise = drawn_noise(inputs, len(noisy)).flip(0)  # the noisiest level's is drawn first
        levels += [noising.noised(inputs.latents, of_level, k) for k, of_level in enumerate(noise, 1)]
    return levels


def within_norm(noise_map: torch.Tensor, max_norm: float) -> torch.Tensor:
    """A noise map ``[samples, 4, h, w]``, each sample's scaled down to a 2-norm of ``max_norm`` at most."""
    import torch

    norms = torch.linalg.vector_norm(noise_map, dim=(1, 2, 3), keepdim=True)
    return noise_map * (max_norm / norms).clamp(max=1)


TURBOEDIT = Inversion(
    title="TurboEdit",
    paper="Deutch et al., TurboEdit: Text-Based Image Editing Using Few-Step Diffusion Models, 2024",
    equation="its shifted noise schedule, and the norm limit of its code",
    settings=TurboEditSettings,
    invert=turboedit,
    policies=("classifier_free", "embedded"),
    problem=problem,
    predicts=("epsilon",),
)
