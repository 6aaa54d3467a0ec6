"""Edit-friendly DDPM inversion: independently noised pictures, and the maps that lead between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.registry import Settings

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
    """Noise the picture to every level independently and extract the noise maps between them.

    The source branch, unguided (its guidance scale is 1) and with these maps, retraces the noised pictures;
    so it is pinned to them. The map of the last step is zero, so the branch ends beside the picture.
    """
    from piebench_eval.diffusion.loop import InversionResult

    skip = int(_SKIPPED_SHARE * schedule.steps) if settings.skip is None else settings.skip
    if skip >= schedule.steps:
        raise PiebenchError(f"inversion.edit_friendly.skip={skip}: leaves none of {schedule.steps} steps")
    steps = schedule.steps - skip

    def retrace() -> dict[str, torch.Tensor]:
        levels, maps = noise_maps(model, inputs, schedule, steps)
        return {"levels": levels, "maps": maps}

    determinants = {"schedule": asdict(schedule), "steps": steps, "seed": inputs.seed}
    found = model.cached("edit_friendly", retrace, determinants, [inputs.latents, inputs.inversion], axis=1)
    return InversionResult(found["levels"], "fixed", fresh_noise=found["maps"])


def noise_maps(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noised pictures and the maps between them (algorithm 1).

    Args:
        model: the model.
        inputs: the batch, with the seed of its noise.
        schedule: the noise schedule.
        steps: how many of its steps, from the image up.

    Returns:
        Latents ``[steps + 1, samples, 4, h, w]`` by level, and noise ``[steps, samples, 4, h, w]``, entry k
        for the step from level k + 1 to level k.
    """
    import torch

    from piebench_eval.diffusion.ddim import ddim_sigma, ddim_step

    levels = _noised(inputs, schedule, steps)
    maps = [torch.zeros_like(inputs.latents)] * steps
    samples = range(len(inputs.latents))
    for level in reversed(range(1, steps + 1)):
        alphas = schedule.alphas[level], schedule.alphas[level - 1]
        with torch.no_grad():
            noise = model.predict_noise(
                levels[level], schedule.timesteps[level - 1], inputs.inversion, samples
            )
        mean = ddim_step(levels[level], noise, *alphas, fresh_noise=maps[level - 1])
        if level > 1:
            sigma = ddim_sigma(*alphas)
            maps[level - 1] = (levels[level - 1] - mean) / sigma
            # Not the noised picture itself but what the map leads to: rounding must not add up.
            levels[level - 1] = mean + sigma * maps[level - 1]
        else:
            levels[0] = mean
    return torch.stack(levels), torch.stack(maps)


def _noised(inputs: EditInputs, schedule: Schedule, steps: int) -> list[torch.Tensor]:
    """The picture at levels 0 to ``steps``, each with noise of its own (equation 6).

    Noise is drawn on the CPU, sample by sample, so that it depends on the seed alone.
    """
    import torch

    latents = inputs.latents
    shape = (1, *latents.shape[1:])
    generators = [torch.Generator().manual_seed(inputs.seed) for _ in latents]
    alphas = schedule.alphas[1 : steps + 1]
    draws = [torch.cat([torch.randn(shape, generator=one) for one in generators]) for _ in alphas]
    noise = torch.stack(draws).to(latents)  # one copy to the device
    noised = [a**0.5 * latents + (1 - a) ** 0.5 * draw for a, draw in zip(alphas, noise, strict=True)]
    return [latents, *noised]


EDIT_FRIENDLY = Inversion(
    title="Edit-friendly DDPM inversion",
    paper="Huberman-Spiegelglas et al., An Edit Friendly DDPM Noise Space, CVPR 2024",
    equation="equations 5 and 6, algorithm 1",
    settings=EditFriendlySettings,
    invert=edit_friendly,
)
