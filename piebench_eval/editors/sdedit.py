"""SDEdit: the picture is noised to a level, and sampled from there with the target prompt.

It is what diffusers' image-to-image pipelines do, and equal to them under ``posterior: sample`` and
``grey_levels: round``, with DDIM as the scheduler of SD 1.x and SDXL. How many steps a strength takes is each
pipeline's own rule:

- SD 1.x and SDXL: steps x strength, rounded down. So InstaFlow, which has no such pipeline.
- SD3 and FLUX.1: steps x strength, rounded up, since it is the steps left out that are rounded down.
- LCM: all steps, chosen from the 50 x strength (rounded down) least noisy of the timesteps that it was
  distilled with. A recipe's own ``timesteps`` are cut as those of SD 1.x.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.schedules import LCM_STEPS, lcm_schedule, lcm_timesteps
from piebench_eval.editors.base import Editor
from piebench_eval.editors.strength import no_step, steps_of_strength
from piebench_eval.errors import PiebenchError
from piebench_eval.methods.base import notes_on_prompts, prompts_of_sample
from piebench_eval.models.location import find_family
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.families import Family


class SDEditSettings(Settings):
    """Settings of SDEdit."""

    strength: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="share of the sampling steps that are taken, or of LCM's timesteps, rounded as diffusers "
        "rounds it for the model's family: 1 keeps nothing of the picture but what the noisiest level leaves "
        "of it",
    )


def steps_taken(steps: int, strength: float, family: Family) -> int:
    """How many of the sampling steps are taken, which is also the level that the picture is noised to.

    >>> from piebench_eval.models.families import FAMILIES
    >>> [steps_taken(50, 0.75, FAMILIES[name]) for name in ("sd1", "sdxl", "sd3", "flux")]
    [37, 37, 38, 38]
    """
    if family.has_flow_scheduler:
        return steps - int(max(steps - min(steps * strength, steps), 0))
    return steps_of_strength(steps, strength)


def edit_latents(
    model: DiffusionModel,
    samples: Sequence[Sample],
    inputs: EditInputs,
    schedule: Schedule,
    settings: SDEditSettings,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Noise the pictures' latents by the seed's first noise, and sample with the target prompt.

    Noise is drawn in the order of latents that are not packed, also for families whose pipelines pack them.

    Returns:
        Latents ``[samples, channels, h, w]``, and for each sample notes on its prompts.

    Raises:
        PiebenchError: no step would be taken.
    """
    from piebench_eval.diffusion.loop import edit

    inputs, taken = replace(inputs, packing=1), schedule.steps
    own_timesteps = _chosen_of_the_distilled(schedule.timesteps[::-1], model.family)
    if problem := _problem(settings, schedule.steps, model.family, own_timesteps):
        raise PiebenchError(problem)
    if own_timesteps:
        timesteps = lcm_timesteps(schedule.steps, int(LCM_STEPS * settings.strength))
        schedule = lcm_schedule(model.alphas_cumprod, schedule.steps, timesteps)
    else:
        taken = steps_taken(schedule.steps, settings.strength, model.family)
    noised = _noised(inputs, schedule, taken, fresh_noise=model.family.schedule == "lcm")
    latents = edit(model, inputs, noised, AttentionController(len(samples)), schedule)
    return latents, notes_on_prompts([prompts_of_sample(sample, settings) for sample in samples], model)


def _noised(inputs: EditInputs, schedule: Schedule, taken: int, *, fresh_noise: bool) -> InversionResult:
    """The pictures at the level that sampling starts from, and how it steps.

    Args:
        inputs: the batch.
        schedule: the noise schedule.
        taken: the level.
        fresh_noise: steps are a consistency model's: to the predicted image, and from there up again by fresh
            noise, the next that the seed draws; the last one stays at the image.
    """
    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.solvers import CONSISTENCY
    from piebench_eval.inversions.offsets import drawn_noise

    noise, *fresh = drawn_noise(inputs, taken if fresh_noise else 1)
    levels = [schedule.noised(inputs.latents, noise, level) for level in range(1, taken + 1)]
    trajectory = torch.stack([inputs.latents, *levels])
    if not fresh_noise:
        return InversionResult(trajectory, "fixed")
    nothing = torch.zeros_like(noise)
    added = [schedule.noised(nothing, of_step, level) for level, of_step in enumerate(reversed(fresh), 1)]
    return InversionResult(trajectory, "fixed", offsets=torch.stack([nothing, *added]), solver=CONSISTENCY)


def _chosen_of_the_distilled(timesteps: Sequence[float] | None, family: Family) -> bool:
    """Whether timesteps, descending, are those that an LCM chooses itself; None are."""
    return family.schedule == "lcm" and (timesteps is None or [*timesteps] == lcm_timesteps(len(timesteps)))


def _problem(settings: SDEditSettings, steps: int, family: Family, own_timesteps: bool) -> str | None:
    """Why no step, or not every step of an LCM, would be taken; with the remedy."""
    if own_timesteps:
        known = int(LCM_STEPS * settings.strength)
        if known >= steps:
            return None
        return (
            f"editor.strength={settings.strength:g} leaves {known} of the {LCM_STEPS} timesteps of "
            f"{family.title} to choose steps={steps} from; give a strength of at least "
            f"{steps / LCM_STEPS:g}, or fewer steps"
        )
    if steps_taken(steps, settings.strength, family):
        return None
    return no_step(steps, settings.strength, "edited")


def settings_problem(settings: SDEditSettings, common: Any) -> str | None:
    """Why no step would be taken."""
    family = _family(common)
    return _problem(settings, common.steps, family, _chosen_of_the_distilled(common.timesteps, family))


def evaluations(settings: SDEditSettings, common: Any, guidance: Guidance | None) -> int:
    """One or two of every step taken, by the guidance."""
    rows, family = (
        2 if guidance is not None and guidance.needs_uncond(guidance.target) else 1,
        _family(common),
    )
    if _chosen_of_the_distilled(common.timesteps, family):
        return rows * int(common.steps)
    return rows * steps_taken(common.steps, settings.strength, family)


def _family(common: Any) -> Family:
    return find_family(common.model, common.revision, common.family)


SDEDIT = Editor(
    title="SDEdit",
    paper="Meng et al., SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations, "
    "ICLR 2022",
    equation="algorithm 1, with the steps of the model's sampler: deterministic ones, or LCM's",
    settings=SDEditSettings,
    prompted_by="target prompt",
    masks="none",
    edit_latents=edit_latents,
    evaluations=evaluations,
    settings_problem=settings_problem,
)
