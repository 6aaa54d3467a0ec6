"""What an edit begins with besides its pictures: schedule, guidance and embedded prompts of a combination."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import EditInputs
from piebench_eval.diffusion.schedules import (
    ddim_schedule,
    flow_schedule_by_size,
    lcm_schedule,
    shifted_flow_schedule,
    uniform_flow_schedule,
)
from piebench_eval.diffusion.words import same_text
from piebench_eval.models.conditioning import Conditioning

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.methods.base import Prompts
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.recipes.combination import CommonSettings


def plan_schedule(
    model: DiffusionModel, common: CommonSettings, latent_shape: tuple[int, int] | None = None
) -> Schedule:
    """The schedule of a combination, as its model's family chooses timesteps.

    Args:
        model: the model.
        common: the combination's settings.
        latent_shape: height and width of the latents, on which the schedule of some families depends;
            those of the model's own resolution if None.
    """
    family, alphas = model.family, model.alphas_cumprod
    if family.schedule == "by_size":
        height, width = latent_shape or (model.native_resolution // model.vae_factor,) * 2
        return flow_schedule_by_size(common.steps, height * width // family.packing**2, model.scheduler)
    if family.schedule == "shifted":
        return shifted_flow_schedule(common.steps, model.scheduler["shift"])
    if family.schedule == "uniform":
        return uniform_flow_schedule(common.steps, family.velocity)
    if family.schedule == "lcm":
        return lcm_schedule(alphas, common.steps, common.timesteps)
    return ddim_schedule(alphas, common.steps, common.steps_offset, common.set_alpha_to_one, common.timesteps)


def plan_guidance(model: DiffusionModel, common: CommonSettings) -> Guidance:
    """The guidance of a combination, as its model takes it unless the recipe says otherwise."""
    return Guidance(
        common.guidance, common.source_guidance, common.policy_of(model.family), common.embedded_guidance
    )


def embed_inputs(
    model: DiffusionModel,
    latents: torch.Tensor,
    texts: Sequence[Prompts],
    size: tuple[int, int],
    guidance: Guidance,
    seed: int,
) -> EditInputs:
    """Embed the prompts of a batch.

    Args:
        model: the model.
        latents: encoded images ``[samples, channels, h, w]``.
        texts: the prompts that a method edits each sample with.
        size: height and width of the images in pixels.
        guidance: see ``EditInputs``.
        seed: see ``EditInputs``.
    """
    uncond = model.embed_uncond(len(texts), size)

    def same(prompt: str, other: str) -> bool:
        return all(same_text(prompt, other, *tokens) for tokens in model.prompt_tokenizers)

    def is_uncond(prompt: str) -> bool:
        return model.uncond_is_empty_prompt and same(prompt, "")

    return EditInputs(
        latents=latents,
        inversion_embeds=model.embed_prompts([text.inversion for text in texts], size),
        source_embeds=model.embed_prompts([text.source for text in texts], size),
        target_embeds=_moved(model, model.embed_prompts([text.target for text in texts], size), texts, size),
        uncond_embeds=uncond,
        negative_embeds=Conditioning.cat(
            [
                uncond.take([place]) if text.negative == "" else model.embed_prompts([text.negative], size)
                for place, text in enumerate(texts)
            ]
        ),
        source_is_uncond=[is_uncond(text.source) for text in texts],
        source_is_inversion=[same(text.source, text.inversion) for text in texts],
        guidance=guidance,
        seed=seed,
        packing=model.family.packing,
    )


def same_sources(pictures: Sequence[NDArray[np.uint8]], texts: Sequence[Prompts]) -> list[int]:
    """For each sample of a batch, the first one with the same picture and the same texts of the source.

    Args:
        pictures: as they are encoded, each ``[height, width, 3]``.
        texts: the prompts that a method edits each sample with.

    >>> from piebench_eval.methods.base import Prompts
    >>> texts = [Prompts(*own) for own in (("cat", "cat", "dog"), ("", "", "dog"), ("cat", "cat", "cow"))]
    >>> same_sources([np.zeros((2, 2, 3))] * 3, texts), same_sources([np.zeros(3), np.ones(3)], texts[:2])
    ([0, 1, 0], [0, 1])
    """

    def same(first: int, place: int) -> bool:
        one, other = ((texts[sample].inversion, texts[sample].source) for sample in (first, place))
        return one == other and np.array_equal(pictures[first], pictures[place])

    return [next(first for first in range(place + 1) if same(first, place)) for place in range(len(texts))]


def _moved(
    model: DiffusionModel, embeds: Conditioning, texts: Sequence[Prompts], size: tuple[int, int]
) -> Conditioning:
    """Embeddings of tokens and of whole prompts, moved by the directions of their texts if these have any."""
    if all(text.direction is None for text in texts):
        return embeds
    rows = []
    for place, text in enumerate(texts):
        row = embeds.take([place])
        if text.direction is not None:
            begin, end = (model.embed_prompts([prompt], size) for prompt in text.direction)
            pooled = row.pooled
            if pooled is not None and begin.pooled is not None and end.pooled is not None:
                pooled = pooled + (end.pooled - begin.pooled)
            row = replace(row, tokens=row.tokens + (end.tokens - begin.tokens), pooled=pooled)
        rows.append(row)
    return Conditioning.cat(rows)
