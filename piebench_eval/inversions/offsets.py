"""Inversions without inversion: the source is noised independently at each level, and offsets retrace it.

For given source latents s_k and a solver's step S, the target receives the source's offset:

    target' = S(target) + (s_{k-1} - S(s_k))

With independently noised s_k this is edit-friendly DDPM inversion (S: DDPM's mean), TurboEdit (the same at
shifted levels), InfEdit's virtual inversion (S: a consistency step) and FlowEdit (S: Euler's step).
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from piebench_eval.tensors import take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from piebench_eval.diffusion.guidance import Guidance
    from piebench_eval.diffusion.loop import EditInputs, InversionResult
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.diffusion.solvers import Solver
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.models.conditioning import Conditioning


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
    texts: tuple[Conditioning, Conditioning],
    schedule: Schedule,
    solver: Solver,
    latents: torch.Tensor,
    level: int,
    guidance: Guidance,
    input_offsets: torch.Tensor | None = None,
    samples: Sequence[int] | None = None,
) -> torch.Tensor:
    """S: where a solver's step leads the source from given latents.

    Args:
        model: the model.
        texts: the inversion's prompts, and what unconditional rows are conditioned on, for each sample.
        schedule: the noise schedule.
        solver: the solver.
        latents: the source's at ``level`` ``[samples, channels, h, w]``.
        level: a level from 1.
        guidance: its source scale is applied.
        input_offsets: what is added to the latents at each evaluation ``[samples, stages, ...]``.
        samples: places in the batch of these samples; they are all of it if None.

    Returns:
        Latents of the level below, same shape.
    """
    import torch

    from piebench_eval.diffusion.ode import follow, predict_guided

    added = iter(() if input_offsets is None else input_offsets.unbind(1))

    def predict(at: torch.Tensor, timestep: float) -> torch.Tensor:
        at = at + next(added, 0)
        with torch.no_grad():
            return predict_guided(model, at, timestep, *texts, guidance, samples=samples)

    return follow(solver.walk(schedule, latents, level), predict)[0]


def retraced(
    name: str,
    model: DiffusionModel,
    inputs: EditInputs,
    schedule: Schedule,
    solver: Solver,
    levels: list[torch.Tensor],
    guidance: Guidance,
    settings: Mapping[str, Any] | None = None,
    last_level: int = 1,
    ends_freely: bool = False,
    adjusted: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
    input_offsets: torch.Tensor | None = None,
) -> InversionResult:
    """The source at given latents, with the offsets that make it retrace them.

    What its steps miss is shared through the model's cache, level by level, as far as it is found before an
    edit; see ``Retracing``.

    Args:
        name: the inversion's, for the cache.
        model: the model.
        inputs: the batch.
        schedule: the noise schedule.
        solver: how both branches step.
        levels: the source's latents by level, each ``[samples, channels, h, w]``.
        guidance: its source scale is applied.
        settings: what the levels depend on besides the schedule and what is drawn, for cache keys.
        last_level: see ``Retracing``.
        ends_freely: see ``Retracing``.
        adjusted: see ``Retracing``.
        input_offsets: see ``InversionResult``.
    """
    import torch

    from piebench_eval.diffusion.loop import InversionResult
    from piebench_eval.diffusion.retracing import Retracing
    from piebench_eval.models.cache import fingerprints

    determinants = {"schedule": schedule.key, **inputs.drawing, **guidance.source_key, **(settings or {})}
    cond, uncond = inputs.inversion_embeds, inputs.uncond_embeds
    if guidance.embedded is not None:  # the source's rows in the edit are told 1
        cond, uncond = (each.with_guidance(1.0) for each in (cond, uncond))
    read = [cond, uncond] if guidance.needs_uncond(guidance.of_source) else [cond]
    tensors = [inputs.latents, *(part for text in read for part in text.parts)]

    @cache
    def content() -> torch.Tensor:
        return fingerprints(tensors)

    @cache  # the same tensors at all levels, so that they are projected once
    def texts(samples: tuple[int, ...]) -> tuple[Conditioning, Conditioning]:
        return cond.take(samples), uncond.take(samples)

    def find_of_sources(level: int, samples: Sequence[int]) -> torch.Tensor:
        above, below = (take(levels[k], samples) for k in (level, level - 1))
        if not retracing.asks_at(level):
            return torch.zeros_like(above)
        added = None if input_offsets is None else take(input_offsets[level - 1], samples)

        def compute() -> dict[str, torch.Tensor]:
            source = texts(tuple(samples)), schedule, solver, above, level, guidance, added
            stepped = source_step(model, *source, samples)
            return {"missed": below - stepped}

        of_samples = [] if model.cache is None else [take(content(), samples)]
        found = model.cached(name, compute, determinants | {"level": level}, of_samples, samples=samples)
        return found["missed"]

    def find(level: int, samples: Sequence[int]) -> torch.Tensor:
        return _once_by_source(model, inputs, samples, partial(find_of_sources, level))

    retracing = Retracing(find, guidance, last_level, ends_freely, adjusted)
    trajectory, added = torch.stack(levels), input_offsets
    return InversionResult(trajectory, "fixed", input_offsets=added, retracing=retracing, solver=solver)


def _once_by_source(
    model: DiffusionModel,
    inputs: EditInputs,
    samples: Sequence[int],
    find: Callable[[Sequence[int]], torch.Tensor],
) -> torch.Tensor:
    """What is found for samples ``[samples, ...]``, of those with the same source for the first alone."""
    same = inputs.same_source or range(len(inputs.latents))
    firsts: dict[int, int] = {}
    owners = [firsts.setdefault(same[sample], sample) for sample in samples]
    before, distinct = model.evaluations.snapshot(), list(firsts.values())
    found = find(distinct)
    for sample, owner in zip(samples, owners, strict=True):
        if sample != owner:
            model.evaluations.count_reused(sample, *model.evaluations.since(before, owner))
    return take(found, [distinct.index(owner) for owner in owners])
