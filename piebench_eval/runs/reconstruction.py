"""An inversion's reconstruction where no edit has it: the source branch alone, taken to its end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import read_image
from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.loop import edit
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.precision import tf32
from piebench_eval.recipes.plugins import plugin_errors
from piebench_eval.runs.batch_editing import decoded, editor_of, latents_by, load_sources
from piebench_eval.runs.inside import reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.inside import Reconstruction
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.recipes.combination import Combination


def reconstruct(
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    counter: EvaluationCounter | None = None,
) -> list[Reconstruction]:
    """Sample the source branch alone: from the inversion's latents, with its own prompt and guidance.

    What the inversion has computed is taken from the model's cache, where it is there.

    Args:
        model: the model.
        samples: the batch.
        combination: an inversion and a method, whose prompts count; the method itself takes no part.
        read: reads an image file; from disk by default.
        counter: counts the model's evaluations; a new one if None.
    """
    model.evaluations = counter or EvaluationCounter()
    alone = replace(editor_of(combination), edit_latents=partial(_source_alone, combination))
    common = combination.common
    with tf32(common.precision == "tf32"), plugin_errors(combination.inversion, combination.method):
        latents, _ = latents_by(alone, model, samples, combination, read)
    sources = load_sources(model, samples, common, read)
    pictures = decoded(model, latents, common)
    return [reconstruction(*pair) for pair in zip(pictures, sources, strict=True)]


def _source_alone(
    combination: Combination,
    model: DiffusionModel,
    samples: Sequence[Sample],
    inputs: EditInputs,
    schedule: Schedule,
    _: Any,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Invert, and sample from there as the source branch does."""
    invert = INVERSIONS.get(combination.inversion).invert
    inverted = invert(model, inputs, schedule, combination.inversion_settings)
    if inverted.values is not None:  # the source's row has its own in all steps
        every_step = replace(inverted.values, target_steps=inverted.steps)
        inverted = replace(inverted, values=every_step)
    scale = inputs.guidance.of_source
    embedded = None if inputs.guidance.embedded is None else 1.0
    of_source = replace(
        inputs,
        target_embeds=inputs.source_embeds,
        negative_embeds=inputs.uncond_embeds,
        guidance=replace(inputs.guidance, target=scale, embedded=embedded),
    )
    latents = edit(model, of_source, inverted, AttentionController(len(samples)), schedule)
    return latents, [[] for _ in samples]
