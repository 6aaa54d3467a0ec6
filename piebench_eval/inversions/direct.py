"""Direct Inversion: the source branch is reset to the inverted latents after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.trajectory import (
    FlowSolver,
    RegularisedSettings,
    flow_solver,
    inverted_trajectory,
    inverting_schedule,
)

if TYPE_CHECKING:
    from typing import Self

    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel


class DirectSettings(RegularisedSettings):
    """Settings of Direct Inversion; other scales and intervals than 1 are its paper's ablations."""

    scale: float = Field(default=1.0, ge=0, le=1, description="share of the offset that is added")
    interval: int = Field(
        default=1, ge=1, description="the offset is added in one of so many steps, from the first"
    )
    solver: FlowSolver = Field(
        default="euler",
        description="along a flow, of the inversion and of both branches' steps; midpoint is rf_solver's, "
        "and rf_solver, fireflow and uni_inv invert with evaluate_at=own",
    )

    target_offset: bool = Field(
        default=False,
        description="the target's steps have the whole offset too, as those of Pix2Pix-Zero in the paper's "
        "code; it costs the source's steps",
    )

    @model_validator(mode="after")
    def _refinements_are_of_single_steps(self) -> Self:
        if self.refinements and self.solver == "fireflow":
            raise ValueError("refinements: fireflow's steps go on from one another; set refinements=0")
        return self

    @model_validator(mode="after")
    def _the_targets_offset_is_whole_and_of_single_steps(self) -> Self:
        if self.target_offset and (self.scale, self.interval) != (1, 1):
            raise ValueError("target_offset: adds the whole offset in every step; set scale=1 and interval=1")
        if self.target_offset and self.solver == "fireflow":
            raise ValueError("target_offset: fireflow's steps go on from one another; choose another solver")
        return self

    def offset_weight(self, index: int) -> float:
        """The weight of the offset in a step, counted from the noise: 1 adds all of it, 0 nothing."""
        return self.scale if index % self.interval == 0 else 0.0


def direct(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: DirectSettings
) -> InversionResult:
    """Invert by DDIM and set the source branch to the trajectory.

    The paper adds the offset z*_{t-1} - DDIM(z_t) to every source step DDIM(z_t). Their sum is z*_{t-1}, so
    neither needs to be computed. Where an offset has a weight below 1, the steps are computed.
    """
    from piebench_eval.diffusion.loop import InversionResult

    solver = flow_solver(settings.solver)
    along = inverting_schedule(model, schedule, settings)
    trajectory = inverted_trajectory(model, inputs, along, settings, solver)
    if settings.target_offset:
        return InversionResult(
            trajectory, "fixed", offsets=offsets(model, inputs, trajectory, schedule, solver), solver=solver
        )
    if all(settings.offset_weight(index) == 1 for index in range(schedule.steps)):
        return InversionResult(trajectory, "fixed", solver=solver)

    def sample() -> dict[str, torch.Tensor]:
        return {"latents": sample_with_offsets(model, inputs, trajectory, schedule, settings)}

    determinants = {
        "schedule": schedule.key,
        "guidance": inputs.guidance.source_key,
        "settings": settings.model_dump(),  # apart: they have a guidance too, the inversion's
    }
    tensors = [trajectory.transpose(0, 1), *inputs.source_embeds.parts, *inputs.uncond_embeds.parts]
    latents = model.cached("direct", sample, determinants, tensors, axis=1)["latents"]
    return InversionResult(latents, "fixed", solver=solver)


def offsets(
    model: DiffusionModel,
    inputs: EditInputs,
    trajectory: torch.Tensor,
    schedule: Schedule,
    solver: Solver,
) -> torch.Tensor:
    """The offsets z*_{t-1} - DDIM(z*_t) of all steps, shared through the model's cache.

    Args:
        model: the model.
        inputs: the batch, with the guidance scale of the source.
        trajectory: z*, ``[steps + 1, samples, channels, h, w]``.
        schedule: the noise schedule of sampling.
        solver: how sampling steps; each step begins anew.

    Returns:
        ``[steps, samples, channels, h, w]``, entry k of the step from level k + 1.
    """
    import torch

    from piebench_eval.diffusion.ode import follow, predict_guided

    texts = inputs.source_embeds, inputs.uncond_embeds

    def predict(at: torch.Tensor, time: float) -> torch.Tensor:
        with torch.no_grad():
            return predict_guided(model, at, time, *texts, inputs.guidance)

    def compute() -> dict[str, torch.Tensor]:
        stepped = [
            follow(solver.walk(schedule, latents, level), predict)[0]
            for level, latents in enumerate(trajectory[1:], start=1)
        ]
        return {"offsets": trajectory[:-1] - torch.stack(stepped)}

    determinants = {
        "schedule": schedule.key,
        "guidance": inputs.guidance.source_key,
        "solver": solver.name,
    }
    tensors = [trajectory.transpose(0, 1), *(part for text in texts for part in text.parts)]
    return model.cached("direct_offsets", compute, determinants, tensors, axis=1)["offsets"]


def sample_with_offsets(
    model: DiffusionModel,
    inputs: EditInputs,
    trajectory: torch.Tensor,
    schedule: Schedule,
    settings: DirectSettings,
) -> torch.Tensor:
    """Sample the source branch with a weighted offset added to each step (the paper's ablations).

    z_{t-1} = DDIM(z_t) + a (z*_{t-1} - DDIM(z_t)), with guided steps and the weight a.

    Args:
        model: the model.
        inputs: the batch, with the guidance scale of the edit.
        trajectory: z*, ``[steps + 1, samples, 4, h, w]``.
        schedule: the noise schedule.
        settings: the inversion's section of the recipe.

    Returns:
        The source branch's latents, as ``trajectory``.
    """
    import torch

    from piebench_eval.diffusion.ode import follow, predict_guided

    def predict(at: torch.Tensor, time: float) -> torch.Tensor:
        texts = inputs.source_embeds, inputs.uncond_embeds
        with torch.no_grad():
            return predict_guided(model, at, time, *texts, inputs.guidance)

    solver, zs, output = flow_solver(settings.solver), [trajectory[-1]], None
    for index, k in enumerate(reversed(range(1, schedule.steps + 1))):
        z_star, a = trajectory[k - 1], settings.offset_weight(index)
        if a == 1 and not solver.keeps_output:  # whatever the step, the sum is z*
            zs.append(z_star)
            continue
        z, output = follow(solver.walk(schedule, zs[-1], k, output), predict)
        zs.append(z + a * (z_star - z))
    return torch.stack(zs[::-1])


DIRECT = Inversion(
    title="Direct Inversion",
    paper="Ju et al., PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code, ICLR 2024",
    equation="the offset z*_{t-1} - z_{t-1}, added to the source branch after each step",
    settings=DirectSettings,
    invert=direct,
    policies=("classifier_free", "embedded"),
    keeps_features=True,
)
