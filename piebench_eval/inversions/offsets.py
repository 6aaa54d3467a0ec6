"""Inversions without inversion: the source is noised independently at each level, and offsets retrace it.

For given source latents s_k and a solver's step S, the target receives the source's offset:

    target' = S(target) + (s_{k-1} - S(s_k))

With independently noised s_k this is edit-friendly DDPM inversion (S: DDPM's mean), TurboEdit (the same at
shifted levels), InfEdit's virtual inversion (S: a consistency step) and FlowEdit (S: Euler's step).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel


def drawn_noise(inputs: EditInputs, count: int) -> torch.Tensor:
    """Standard normal noise ``[count, samples, channels, h, w]``, on the device of the latents.

    It is drawn sample by sample, so that it depends on the seed alone, and on the CPU, unless the inputs say
    otherwise; what the posterior has drawn of it comes first. Where a model's latents are packed, so is what
    is drawn, before it is unpacked.
    """
    import torch

    from piebench_eval.models.packing import unpacked

    shape, device = (1, *inputs.latents.shape[1:]), inputs.latents.device if inputs.noise_on_device else "cpu"
    generators = [torch.Generator(device).manual_seed(inputs.seed) for _ in inputs.latents]
    draws = [
        torch.cat([torch.randn(shape, generator=one, device=device) for one in generators])
        for _ in range(inputs.draws_before + count)
    ]
    drawn = torch.stack(draws[inputs.draws_before :]).to(inputs.latents)  # one copy to the device
    if inputs.packing == 1:
        return drawn
    grid = tuple(side // inputs.packing for side in drawn.shape[-2:])
    tokens = drawn.reshape(*drawn.shape[:2], grid[0] * grid[1], -1)
    return unpacked(tokens.flatten(0, 1), grid, inputs.packing).reshape(drawn.shape)


def source_step(
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    solver: Solver,
    latents: torch.Tensor,
    level: int,
    guidance: Guidance,
    input_offsets: torch.Tensor | None = None,
) -> torch.Tensor:
    """S: where a solver's step leads the source from given latents.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the noise schedule.
        solver: the solver.
        latents: the source's at ``level`` ``[samples, channels, h, w]``.
        level: a level from 1.
        guidance: its source scale is applied.
        input_offsets: what is added to the latents at each evaluation ``[samples, stages, ...]``.

    Returns:
        Latents of the level below, same shape.
    """
    import torch

    from piebench_eval.diffusion.ode import follow, predict_guided

    added = iter(() if input_offsets is None else input_offsets.unbind(1))

    def predict(at: torch.Tensor, timestep: float) -> torch.Tensor:
        at = at + next(added, 0)
        with torch.no_grad():
            return predict_guided(
                model, at, timestep, inputs.inversion_embeds, inputs.uncond_embeds, guidance
            )

    return follow(solver.walk(schedule, latents, level), predict)[0]


def retracing_offsets(
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    solver: Solver,
    levels: list[torch.Tensor],
    guidance: Guidance,
) -> torch.Tensor:
    """The offsets that make the source retrace given latents.

    Args:
        model: the model.
        inputs: the batch.
        schedule: the noise schedule.
        solver: how both branches step.
        levels: the source's latents by level, each ``[samples, channels, h, w]``.
        guidance: its source scale is applied.

    Returns:
        Offsets ``[steps, samples, channels, h, w]``, entry k for the step from level k + 1 to level k.
    """
    import torch

    return torch.stack(
        [
            levels[k - 1] - source_step(model, inputs, schedule, solver, levels[k], k, guidance)
            for k in range(1, len(levels))
        ]
    )
