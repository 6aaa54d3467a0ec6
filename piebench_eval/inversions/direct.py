"""Direct Inversion: the source branch is put back on the inversion's latents after every step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import Field

from piebench_eval.inversions.base import Inversion
from piebench_eval.inversions.ddim import TrajectorySettings, trajectory

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel


class DirectSettings(TrajectorySettings):
    """Settings of Direct Inversion; other scales and intervals than 1 are its paper's ablations."""

    scale: float = Field(default=1.0, ge=0, le=1, description="share of the offset that is added")
    interval: int = Field(
        default=1, ge=1, description="the offset is added in one of so many steps, from the first"
    )

    def share(self, index: int) -> float:
        """The share of the offset that is added in a step, counted from the noise."""
        return self.scale if index % self.interval == 0 else 0.0


def direct(
    model: DiffusionModel, inputs: EditInputs, schedule: Schedule, settings: DirectSettings
) -> InversionResult:
    """Invert by DDIM and pin the source branch to the trajectory.

    The paper adds to every source step its distance to the inverted latent, z*_{t-1} - DDIM(z_t). A step
    plus its distance to a place is that place, so the offsets and the steps they mend need not be computed.
    Where only a part of them is added, the source branch is pinned to where that leads.
    """
    from piebench_eval.diffusion.loop import InversionResult

    inverted = trajectory(model, inputs, schedule, settings)
    if all(settings.share(index) == 1 for index in range(schedule.steps)):
        return InversionResult(inverted, "fixed")

    def walk() -> dict[str, torch.Tensor]:
        return {"latents": walk_with_offsets(model, inputs, inverted, schedule, settings)}

    determinants = {"schedule": asdict(schedule), "guidance": inputs.guidance, **settings.model_dump()}
    tensors = [inverted.transpose(0, 1), inputs.source, inputs.uncond]
    return InversionResult(model.cached("direct", walk, determinants, tensors, axis=1)["latents"], "fixed")


def walk_with_offsets(
    model: DiffusionModel,
    inputs: EditInputs,
    inverted: torch.Tensor,
    schedule: Schedule,
    settings: DirectSettings,
) -> torch.Tensor:
    """Where guided steps lead to which a part of the offset is added (the paper's ablations of the offset).

    With DDIM's guided step s(z) and the share a of the step, z_{t-1} = s(z_t) + a (z*_{t-1} - s(z_t)).

    Args:
        model: the model.
        inputs: the batch, with the guidance scale of the edit.
        inverted: z*, ``[steps + 1, samples, 4, h, w]``.
        schedule: the noise schedule.
        settings: the inversion's section of the recipe.

    Returns:
        As ``inverted``.
    """
    import torch

    from piebench_eval.diffusion.ddim import guided_step

    walked = [inverted[-1]]
    for index, level in enumerate(reversed(range(schedule.steps))):
        wanted, share = inverted[level], settings.share(index)
        if share == 1:  # the whole offset leads there from anywhere
            walked.append(wanted)
            continue
        texts = inputs.source, inputs.uncond
        with torch.no_grad():
            step = guided_step(model, walked[-1], *texts, schedule, inputs.guidance, level, up=False)
        walked.append(step + share * (wanted - step))
    return torch.stack(walked[::-1])


DIRECT = Inversion(
    title="Direct Inversion",
    paper="Ju et al., PnP Inversion: Boosting Diffusion-based Editing with 3 Lines of Code, ICLR 2024",
    equation="the offset z*_{t-1} - z_{t-1}, added to the source branch after each step",
    settings=DirectSettings,
    invert=direct,
)
