"""Inverting a batch in which several samples have the same source: each source once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from piebench_eval.models.nfe import CounterOfPlaces
from piebench_eval.tensors import device_index, take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from piebench_eval.diffusion.inversion_result import InversionResult
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.models.base import DiffusionModel


def invert_sources(
    model: DiffusionModel, inputs: EditInputs, invert: Callable[[EditInputs], InversionResult]
) -> InversionResult:
    """Invert the sources of a batch, each once, see ``EditInputs.same_source``.

    Where features of the inversion are kept, they are each sample's own, and so is its inversion.

    Args:
        model: the model, whose evaluations count for all samples, and as reused for all but a source's first.
        inputs: the batch.
        invert: an inversion of a batch.
    """
    same = inputs.same_source
    if same is None or len(set(same)) == len(same) or inputs.features is not None:
        return invert(inputs)
    firsts, counter = sorted(set(same)), model.evaluations
    before = counter.snapshot()
    model.evaluations = CounterOfPlaces(counter, firsts)
    try:
        inverted = invert(_of_samples(inputs, firsts))
    finally:
        model.evaluations = counter
    if inverted.retracing is not None:  # nothing is evaluated yet, and sources are told apart where it is
        return invert(inputs)
    for sample, first in enumerate(same):
        if sample != first:
            counter.count_reused(sample, *counter.since(before, first))
    return _for_samples(inverted, [firsts.index(first) for first in same])


def _of_samples(inputs: EditInputs, samples: Sequence[int]) -> EditInputs:
    """Some of the samples of a batch."""
    return replace(
        inputs,
        latents=take(inputs.latents, samples),
        inversion_embeds=inputs.inversion_embeds.take(samples),
        source_embeds=inputs.source_embeds.take(samples),
        target_embeds=inputs.target_embeds.take(samples),
        uncond_embeds=inputs.uncond_embeds.take(samples),
        negative_embeds=inputs.negative_embeds.take(samples),
        source_is_uncond=[inputs.source_is_uncond[sample] for sample in samples],
        source_is_inversion=[inputs.source_is_inversion[sample] for sample in samples],
        same_source=None,
        masks=None if inputs.masks is None else take(inputs.masks, samples),
        pictures=None if inputs.pictures is None else [inputs.pictures[sample] for sample in samples],
    )


def _for_samples(inverted: InversionResult, places: Sequence[int]) -> InversionResult:
    """The result for samples of which each has that of a place."""
    index = device_index(places, inverted.trajectory.device)

    def each(tensor: torch.Tensor) -> torch.Tensor:
        """Of ``[steps, sources, ...]``, ``[steps, samples, ...]``."""
        return tensor.index_select(1, index)

    uncond, uncond_is_source = inverted.uncond_embeds, inverted.uncond_embeds_are_source
    # A text that is the same in all steps stays the same object.
    taken = {id(text): text.take(places) for text in uncond or ()}
    values, notes = inverted.values, inverted.notes
    return replace(
        inverted,
        trajectory=each(inverted.trajectory),
        uncond_embeds=None if uncond is None else [taken[id(text)] for text in uncond],
        offsets=None if inverted.offsets is None else each(inverted.offsets),
        input_offsets=None if inverted.input_offsets is None else each(inverted.input_offsets),
        uncond_embeds_are_source=None
        if uncond_is_source is None
        else [uncond_is_source[at] for at in places],
        values=values and replace(values, scales=each(values.scales), shifts=each(values.shifts)),
        notes=None if notes is None else [notes[at] for at in places],
    )
