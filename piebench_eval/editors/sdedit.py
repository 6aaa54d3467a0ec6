"""SDEdit: the picture is noised to a level, and sampled from there with the target prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.editors.base import Editor
from piebench_eval.methods.base import notes_on_prompts, prompts_of_sample
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class SDEditSettings(Settings):
    """Settings of SDEdit."""

    strength: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="share of the sampling steps that are taken, rounded down: 1 keeps nothing of the "
        "picture but what the noisiest level leaves of it",
    )


def steps_taken(steps: int, strength: float) -> int:
    """How many of the sampling steps are taken, which is also the level that the picture is noised to.

    >>> steps_taken(50, 0.75)
    37
    """
    return min(int(steps * strength), steps)


def edit_latents(
    model: DiffusionModel,
    samples: Sequence[Sample],
    inputs: EditInputs,
    schedule: Schedule,
    settings: SDEditSettings,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Noise the pictures' latents by the seed's first noise, and sample with the target prompt.

    Returns:
        Latents ``[samples, channels, h, w]``, and for each sample notes on its prompts.
    """
    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.loop import edit
    from piebench_eval.inversions.offsets import drawn_noise

    (noise,) = drawn_noise(inputs, 1)
    start = steps_taken(schedule.steps, settings.strength)
    levels = [schedule.noised(inputs.latents, noise, level) for level in range(1, start + 1)]
    noised = InversionResult(torch.stack([inputs.latents, *levels]), "fixed")
    latents = edit(model, inputs, noised, AttentionController(len(samples)), schedule)
    return latents, notes_on_prompts([prompts_of_sample(sample, settings) for sample in samples], model)


def settings_problem(settings: SDEditSettings, common: Any) -> str | None:
    """Why no step would be taken."""
    if steps_taken(common.steps, settings.strength):
        return None
    return (
        f"editor.strength={settings.strength:g} of steps={common.steps} is no step, so that nothing would be "
        f"edited; give a strength of at least {1 / common.steps:.3g}, or more steps"
    )


def evaluations(settings: SDEditSettings, common: Any, guidance: Guidance | None) -> int:
    """One or two of every step taken, by the guidance."""
    rows = 2 if guidance is not None and guidance.needs_uncond(guidance.target) else 1
    return rows * steps_taken(common.steps, settings.strength)


SDEDIT = Editor(
    title="SDEdit",
    paper="Meng et al., SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations, "
    "ICLR 2022",
    equation="algorithm 1, with the deterministic steps of the model's sampler",
    settings=SDEditSettings,
    prompted_by="target prompt",
    masks="none",
    edit_latents=edit_latents,
    evaluations=evaluations,
    settings_problem=settings_problem,
)
