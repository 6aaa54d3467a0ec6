"""FlowEdit: no inversion, but the velocity's difference between both prompts along noised pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from piebench_eval.errors import PiebenchError
from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.offsets import drawn_noise, retraced
from piebench_eval.settings import Settings

if TYPE_CHECKING:
    from typing import Self

    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel

_N_MAX_SHARE = 33 / 50


class FlowEditSettings(Settings):
    """Settings of FlowEdit, by its own names."""

    n_max: int | None = Field(
        default=None,
        ge=1,
        description="how many of the steps edit, the last ones; 33 of 50, and that share of other step "
        "counts, if empty (24 of 28 for FLUX in its code)",
    )
    n_min: int = Field(
        default=0, ge=0, description="how many of the last steps sample the target alone, with no difference"
    )
    n_avg: int = Field(
        default=1, ge=1, description="draws of noise in each step, over which the difference is averaged"
    )

    @model_validator(mode="after")
    def _ends_before_it_begins(self) -> Self:
        if self.n_max is not None and self.n_min > self.n_max:
            raise ValueError(f"n_min={self.n_min}: is more than n_max={self.n_max}; make it smaller")
        return self


def flowedit(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: FlowEditSettings
) -> InversionResult:
    """Noise the image independently for each step, and let the offsets of Euler's steps retrace that.

    FlowEdit moves z from the image by D (v_target(z + s - z0) - v_source(s)), with s the image z0 noised anew
    in each step. With the target branch at x = z + s - z0, this is x' = S(x) + (s' - S(s)) for Euler's step
    S: the source's offset, which depends on nothing of the target, and is found once for all its prompts.

    Of several draws in a step, the first is where the branches are; the others are added to what the model is
    given (``InversionResult.input_offsets``). In the last ``n_min`` steps the source lies on the line of one
    more draw, and the target's steps have no offset.
    """
    import torch

    from piebench_eval.diffusion.solvers import DETERMINISTIC, averaged

    if why := problem(schedule.steps, settings):
        raise PiebenchError(why)
    steps, n_min, n_avg = edited_steps(schedule.steps, settings), settings.n_min, settings.n_avg
    solver = DETERMINISTIC if n_avg == 1 else averaged(n_avg, one_stage_from=n_min)

    points = noised_points(inputs, schedule, steps, n_min, n_avg)
    levels = [inputs.latents, *(of_level[0] for of_level in points)]
    added = [torch.stack([point - of_level[0] for point in of_level], 1) for of_level in points]
    return retraced(
        "flowedit",
        *(model, inputs, schedule, solver, levels, inputs.guidance),
        settings={"steps": steps, "n_min": n_min, "n_avg": n_avg},
        last_level=n_min + 1,
        input_offsets=None if n_avg == 1 else torch.stack(added),
    )


def noised_points(
    inputs: EditInputs, schedule: Schedule, steps: int, n_min: int, n_avg: int
) -> list[list[torch.Tensor]]:
    """The picture noised to the levels from 1 on, each draw ``[samples, channels, h, w]``.

    Noise is drawn from the noisiest level on, ``n_avg`` times for each; one last draw is that of all levels
    up to ``n_min``, which have it in every place.
    """
    noise = iter(drawn_noise(inputs, (steps - n_min) * n_avg + bool(n_min)))
    points = [
        [schedule.noised(inputs.latents, next(noise), level) for _ in range(n_avg)]
        for level in range(steps, n_min, -1)
    ]
    for last in noise:
        sampled = range(n_min, 0, -1)
        points += [[schedule.noised(inputs.latents, last, level)] * n_avg for level in sampled]
    return points[::-1]


def edited_steps(steps: int, settings: FlowEditSettings) -> int:
    """How many of the steps edit."""
    return max(1, round(_N_MAX_SHARE * steps)) if settings.n_max is None else settings.n_max


def problem(steps: int, settings: FlowEditSettings) -> str | None:
    """More steps than there are, or than edit."""
    if settings.n_max is not None and settings.n_max > steps:
        return (
            f"inversion.flowedit.n_max={settings.n_max}: is more than the {steps} steps; make it smaller, or "
            "leave it empty for 33 of 50"
        )
    if settings.n_min > (edited := edited_steps(steps, settings)):
        return f"inversion.flowedit.n_min={settings.n_min}: is more than n_max, {edited}; make it smaller"
    return None


def caution(guidance: float, source_guidance: float) -> str | None:
    """One scale of both branches: the published editor is the difference of two."""
    if source_guidance != guidance:
        return None
    return (
        f"flowedit has the guidance scale {guidance:g} for source and target; its authors' code has 1.5 and "
        "5.5 with FLUX.1 (--config flowedit-flux), and with Stable Diffusion 3 3.5 for the source and 13.5 "
        "for the target: --set source_guidance=3.5 --guidance 13.5, or --config flowedit-sd3"
    )


FLOWEDIT = Inversion(
    title="FlowEdit",
    paper="Kulikov et al., FlowEdit: Inversion-Free Text-Based Editing Using Pre-Trained Flow Models, "
    "ICCV 2025",
    equation="algorithm 1, with the source's part as offsets; its scale is the recipe's source_guidance, 3.5 "
    "beside a guidance of 13.5 in its code for Stable Diffusion 3",
    settings=FlowEditSettings,
    invert=flowedit,
    policies=("classifier_free", "embedded"),
    problem=problem,
    predicts=("velocity",),
    caution=caution,
    empty_means=lambda steps: {"n_max": edited_steps(steps, FlowEditSettings())},
)
