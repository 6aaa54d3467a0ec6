"""Edit-friendly DDPM inversion: independently noised images, and the noise maps between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


_SKIPPED_SHARE = 12 / 50


class EditFriendlySettings(Settings):
    """Settings of edit-friendly DDPM inversion."""

    skip: int | None = Field(
        default=None,
        ge=0,
        description="how many of the noisiest steps are left out (T_skip); 12 of 50, and that share of "
        "other step counts, if empty",
    )


def edit_friendly(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: EditFriendlySettings
) -> InversionResult:
    """Noise the image to every level independently and extract the noise maps between them.

    Sampled with these maps and without guidance, the source branch reproduces the noised images, so it is set
    to them. The map of the last step is zero, so the branch does not end exactly at the image.
    """
    from piebench_eval.diffusion.loop import InversionResult

    skip = int(_SKIPPED_SHARE * schedule.steps) if settings.skip is None else settings.skip
    if skip >= schedule.steps:
        raise PiebenchError(f"inversion.edit_friendly.skip={skip}: leaves none of {schedule.steps} steps")
    steps = schedule.steps - skip

    def extract() -> dict[str, torch.Tensor]:
        xs, zs = noise_maps(model, inputs, schedule, steps)
        return {"levels": xs, "maps": zs}

    determinants = {"schedule": asdict(schedule), "steps": steps, "seed": inputs.seed}
    found = model.cached(
        "edit_friendly", extract, determinants, [inputs.latents, inputs.inversion_embeds], axis=1
    )
    return InversionResult(found["levels"], "fixed", variance_noise=found["maps"])


def noise_maps(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noised images and the noise maps between them (algorithm 1).

    Args:
        model: the model.
        inputs: the batch, with the seed of its noise.
        schedule: the noise schedule.
        steps: how many of its steps, counted from the image.

    Returns:
        x, the latents ``[steps + 1, samples, 4, h, w]`` by level; and z, the noise maps
        ``[steps, samples, 4, h, w]``, entry k for the step from level k + 1 to level k.
    """
    import torch

    xs = _noised(inputs, schedule, steps)
    zs = [torch.zeros_like(inputs.latents)] * steps
    samples = range(len(inputs.latents))
    for t in reversed(range(1, steps + 1)):
        with torch.no_grad():
            noise = model.predict_noise(xs[t], schedule.timestep(t), inputs.inversion_embeds, samples)
        mu = schedule.step(xs[t], noise, t, variance_noise=zs[t - 1])
        if t > 1:
            sigma = schedule.sigma(t)
            zs[t - 1] = (xs[t - 1] - mu) / sigma
            # Not the noised image itself but the step's result with z: rounding errors must not add up.
            xs[t - 1] = mu + sigma * zs[t - 1]
        else:
            xs[0] = mu
    return torch.stack(xs), torch.stack(zs)


def _noised(inputs: EditInputs, schedule: Schedule, steps: int) -> list[torch.Tensor]:
    """The image at levels 0 to ``steps``, each with independent noise (equation 6).

    Noise is drawn on the CPU, sample by sample, so that it depends on the seed alone.
    """
    import torch

    latents = inputs.latents
    shape = (1, *latents.shape[1:])
    generators = [torch.Generator().manual_seed(inputs.seed) for _ in latents]
    draws = [torch.cat([torch.randn(shape, generator=one) for one in generators]) for _ in range(steps)]
    noise = torch.stack(draws).to(latents)  # one copy to the device
    return [latents, *(schedule.noised(latents, draw, t) for t, draw in enumerate(noise, start=1))]


EDIT_FRIENDLY = Inversion(
    title="Edit-friendly DDPM inversion",
    paper="Huberman-Spiegelglas et al., An Edit Friendly DDPM Noise Space, CVPR 2024",
    equation="equations 5 and 6, algorithm 1",
    settings=EditFriendlySettings,
    invert=edit_friendly,
)
