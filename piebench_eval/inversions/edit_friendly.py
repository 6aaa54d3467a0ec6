"""Edit-friendly DDPM inversion: independently noised pictures, and the maps that lead between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.registry import Settings

if TYPE_CHECKING:
    import torch

    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.diffusion.edit_loop import EditInputs, SourcePath
    from piebench_eval.diffusion.schedule import Schedule


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
    backbone: Backbone, inputs: EditInputs, schedule: Schedule, settings: EditFriendlySettings
) -> SourcePath:
    """Noise the picture to every level independently and extract the noise maps between them.

    The source branch, unguided (its guidance scale is 1) and with these maps, retraces the noised pictures;
    so it is pinned to them. The map of the last step is zero, so the branch ends beside the picture.
    """
    import torch

    from piebench_eval.diffusion.ddim import ddim_sigma, ddim_step
    from piebench_eval.diffusion.edit_loop import SourcePath

    skip = int(_SKIPPED_SHARE * schedule.steps) if settings.skip is None else settings.skip
    if skip >= schedule.steps:
        raise PiebenchError(f"inversion.edit_friendly.skip={skip}: leaves none of {schedule.steps} steps")
    steps = schedule.steps - skip
    levels = _noised(inputs, schedule, steps)
    maps = [torch.zeros_like(inputs.latents)] * steps
    samples = range(len(inputs.latents))
    with torch.no_grad():
        for level in reversed(range(1, steps + 1)):
            alphas = schedule.alphas[level], schedule.alphas[level - 1]
            noise = backbone.predict_noise(
                levels[level], schedule.timesteps[level - 1], inputs.source, samples
            )
            mean = ddim_step(levels[level], noise, *alphas, fresh_noise=maps[level - 1])
            if level > 1:
                sigma = ddim_sigma(*alphas)
                maps[level - 1] = (levels[level - 1] - mean) / sigma
                # Not the noised picture itself but what the map leads to: rounding must not add up.
                levels[level - 1] = mean + sigma * maps[level - 1]
            else:
                levels[0] = mean
    return SourcePath(torch.stack(levels), pinned=True, fresh_noise=torch.stack(maps))


def _noised(inputs: EditInputs, schedule: Schedule, steps: int) -> list[torch.Tensor]:
    """The picture at levels 0 to ``steps``, each with noise of its own (equation 6).

    Noise is drawn on the CPU, sample by sample, so that it depends on the seed alone.
    """
    import torch

    latents = inputs.latents
    shape = (1, *latents.shape[1:])
    generators = [torch.Generator().manual_seed(inputs.seed) for _ in latents]
    levels = [latents]
    for alpha in schedule.alphas[1 : steps + 1]:
        draws = torch.cat([torch.randn(shape, generator=generator) for generator in generators])
        levels.append(alpha**0.5 * latents + (1 - alpha) ** 0.5 * draws.to(latents))
    return levels


EDIT_FRIENDLY = Inversion(
    title="Edit-friendly DDPM inversion",
    paper="Huberman-Spiegelglas et al., An Edit Friendly DDPM Noise Space, CVPR 2024",
    equation="equations 5 and 6, algorithm 1",
    settings=EditFriendlySettings,
    invert=edit_friendly,
)
