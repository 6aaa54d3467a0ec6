"""Editing one batch of samples by one combination."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from piebench_eval.data.images import (
    image_size,
    load_image,
    loaded_size,
    read_image,
    resample,
    size_text,
)
from piebench_eval.diffusion.feature_limits import FeatureLimits
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.inside import unobserved
from piebench_eval.diffusion.loop import edit
from piebench_eval.editors import EDITORS
from piebench_eval.editors.base import Editor, LoadedEditor
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.methods.base import prompts_of_sample
from piebench_eval.models.location import ImageSizes
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.models.precision import tf32
from piebench_eval.recipes.combination import are_own
from piebench_eval.recipes.plugins import plugin_errors
from piebench_eval.runs.edit_inputs import embed_inputs, plan_guidance, plan_schedule, same_sources
from piebench_eval.runs.inside import insides
from piebench_eval.runs.latent_masks import latent_masks
from piebench_eval.runs.picture_editing import edit_pictures
from piebench_eval.runs.runner import EditResult
from piebench_eval.runs.shared_inversion import invert_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.data.images import ImageLoader
    from piebench_eval.data.sample import Sample
    from piebench_eval.diffusion.features import FeatureMemory
    from piebench_eval.diffusion.loop import EditInputs
    from piebench_eval.diffusion.observer import EditObserver
    from piebench_eval.diffusion.schedules import Schedule
    from piebench_eval.methods.base import Prompts
    from piebench_eval.models.base import DiffusionModel
    from piebench_eval.pictures import Posterior
    from piebench_eval.recipes.combination import Combination, CommonSettings


try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]


@dataclass(frozen=True)
class _Made:
    """The pictures of a batch, before they are brought to the size in which they are saved.

    Attributes:
        pictures: one per sample, each ``[height, width, 3]``.
        notes: for each sample.
        latents: ``[samples, channels, h, w]``; None of an editor of pictures.
    """

    pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    notes: Sequence[list[str]]
    latents: torch.Tensor | None = None


def edit_batch(
    model: DiffusionModel | LoadedEditor,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    feature_limits: FeatureLimits | None = None,
    counter: EvaluationCounter | None = None,
    observer: EditObserver | None = None,
) -> list[EditResult]:
    """Edit a batch of samples by one combination: load, edit, resize.

    Args:
        model: the model; or what an editor has loaded itself.
        samples: the batch.
        combination: inversion, method and their settings; or an editor with its own.
        read: reads an image file; from disk by default.
        feature_limits: where features lie that a method reads of the inversion; none if None.
        counter: counts the model's evaluations; a new one if None.
        observer: looks inside; its ``insides`` are filled. The edit and its evaluations are the same.

    Raises:
        PiebenchError: a resolution that the model cannot work at, features without room, a picture that is
            none, or a plugin that failed.
    """
    started = time.perf_counter()
    _reset_peak_memory(model.device)
    model.evaluations = counter or EvaluationCounter()
    if isinstance(model, LoadedEditor):
        with tf32(combination.common.precision == "tf32"):
            made = _Made(*edit_pictures(model, samples, combination, read))
        if observer is not None:
            why = f"{combination.name} edits by what it loads itself, and nobody can look inside that"
            observer.insides = [unobserved(why) for _ in samples]
    else:
        made = _decoded_edits(model, samples, combination, read, feature_limits, observer)
    seconds = (time.perf_counter() - started) / len(samples)
    return [
        EditResult(
            sample=sample,
            image=_as_saved(made.pictures[place], sample, combination.common),
            latents=None if made.latents is None else made.latents[place],
            seconds=seconds,
            nfe_forward=model.evaluations.forward[place],
            nfe_backward=model.evaluations.backward[place],
            nfe_reused=model.evaluations.reused[place],
            peak_memory=_peak_memory(model.device),
            notes=made.notes[place],
            resolution=min(made.pictures[place].shape[:2]),
        )
        for place, sample in enumerate(samples)
    ]


def _decoded_edits(
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]],
    feature_limits: FeatureLimits | None,
    observer: EditObserver | None,
) -> _Made:
    """Edit latents and decode them; see ``edit_batch``."""
    common = combination.common
    fast = tf32(common.precision == "tf32")
    with fast, plugin_errors(combination.inversion, combination.method):
        latents, notes = edit_latents(model, samples, combination, read, feature_limits, observer)
    finite = latents.flatten(1).isfinite().all(dim=1).tolist()
    if non_finite := [sample.id for sample, good in zip(samples, finite, strict=True) if not good]:
        raise PiebenchError(
            f"{combination.name}: the latents of {', '.join(non_finite)} are no longer finite numbers; "
            "use --precision fp32 or bf16, or a lower --guidance"
        )
    decoding_notes: list[str] = []
    pictures = decoded(model, latents, common, decoding_notes.append)
    if observer is not None and observer.seen is not None:
        sources = load_sources(model, samples, common, read)
        decode = partial(decoded, model, common=common)
        editor = combination.name if combination.is_editor else ""
        observer.insides = insides(observer.seen, pictures, sources, decode, editor)
    return _Made(pictures, [of_sample + decoding_notes for of_sample in notes], latents)


def decoded(
    model: DiffusionModel,
    latents: torch.Tensor,
    common: CommonSettings,
    notify: Callable[[str], None] = lambda _: None,
) -> NDArray[np.uint8]:
    """Decode latents ``[samples, channels, h, w]`` as a recipe says; see ``decode_latents``."""
    on_device = latents.to(model.device)
    return model.decode_latents(on_device, common.quirks.pixel_overflow, notify, common.grey_levels)


def load_sources(
    model: DiffusionModel,
    samples: Sequence[Sample],
    common: CommonSettings,
    read: Callable[[Path], NDArray[np.uint8]],
) -> list[NDArray[np.uint8]]:
    """The pictures of a batch as they are encoded, each ``[height, width, 3]``."""
    resolution = working_resolution(model, common.resolution)
    return _load_batch(samples, resolution, common.image_loader, read, _size_divisor(model))


def edit_latents(
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    feature_limits: FeatureLimits | None = None,
    observer: EditObserver | None = None,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Edit samples by one combination, up to the latents; see ``edit_batch`` for the arguments.

    Returns:
        Edited latents ``[samples, 4, h, w]``, and notes for each sample.

    Raises:
        PiebenchError: a resolution that the model cannot work at.
    """
    editor = editor_of(combination, feature_limits)
    return latents_by(editor, model, samples, combination, read, observer)


def latents_by(
    editor: Editor,
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    observer: EditObserver | None = None,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Latents that an editor makes of samples under a combination's settings; see ``edit_latents``."""
    common = combination.common
    assert editor.edit_latents is not None, "editors of pictures have no latents"
    resolution = working_resolution(model, common.resolution)
    texts = [editor.prompts(sample, combination.editor_settings) for sample in samples]
    inputs = encode_inputs(
        model,
        samples,
        resolution,
        texts,
        common.image_loader,
        plan_guidance(model, common),
        common.seed,
        read,
        common.posterior,
        common.quirks.noise_on_device,
        common.quirks.added_shift,
    )
    if not are_own(combination.inversion, combination.method):
        inputs = replace(inputs, same_source=None)  # a plugin may let the target change the source
    if observer is not None:
        prompts = [text.source for text in texts], [text.target for text in texts]
        observer.begin_batch(*prompts, model.text_tokenizers)
        inputs = replace(inputs, observer=observer)
    if editor.masks == "benchmark":
        loader, divisor = common.image_loader, _size_divisor(model)
        masks = latent_masks(samples, inputs.latents, resolution, loader, divisor)
        inputs = replace(inputs, masks=masks)
    height, width = inputs.latents.shape[-2:]
    schedule = plan_schedule(model, common, (height, width))
    return editor.edit_latents(model, samples, inputs, schedule, combination.editor_settings)


def editor_of(combination: Combination, feature_limits: FeatureLimits | None = None) -> Editor:
    """What makes the edits of a combination: an editor, or an inversion with a method as one.

    Args:
        combination: inversion, method and their settings; or an editor with its own.
        feature_limits: see ``edit_batch``.
    """
    if combination.is_editor:
        return EDITORS.get(combination.method).with_settings(combination.editor_settings)
    inversion, method = INVERSIONS.get(combination.inversion), METHODS.get(combination.method)
    return Editor(
        title=f"{inversion.title} with {method.title}",
        paper=method.paper,
        prompted_by="target prompt",
        masks="none",
        prompts=lambda sample, _: method.prompts(sample, combination.method_settings),
        edit_latents=partial(_edit_by_pair, combination, feature_limits),
    )


def _edit_by_pair(
    combination: Combination,
    feature_limits: FeatureLimits | None,
    model: DiffusionModel,
    samples: Sequence[Sample],
    inputs: EditInputs,
    schedule: Schedule,
    _: Any,
) -> tuple[torch.Tensor, list[list[str]]]:
    """Invert, and edit by the method."""
    common = combination.common
    inversion, method = INVERSIONS.get(combination.inversion), METHODS.get(combination.method)
    prepared = method.prepare(samples, model, common.steps, combination.method_settings)
    inputs = replace(inputs, features=prepared.controller.features)
    with _dropped_at_the_end(inputs.features, feature_limits):
        inverted = invert_sources(
            model,
            inputs,
            lambda some: inversion.invert(model, some, schedule, combination.inversion_settings),
        )
        first_step = schedule.steps - inverted.steps if common.quirks.count_skipped_steps else 0
        latents = edit(model, inputs, inverted, prepared.controller, schedule, first_step)
    inversion_notes = inverted.notes or [[] for _ in samples]
    return latents, [[*pair[0], *pair[1]] for pair in zip(inversion_notes, prepared.notes, strict=True)]


@contextmanager
def _dropped_at_the_end(features: FeatureMemory | None, limits: FeatureLimits | None) -> Iterator[None]:
    """Keep features within limits, and drop what is left of them at the end, also after an error."""
    if features is None:
        yield
        return
    features.keep_within(limits or FeatureLimits())
    try:
        yield
    finally:
        features.clear()


def encode_inputs(
    model: DiffusionModel,
    samples: Sequence[Sample],
    resolution: int,
    prompts: Sequence[Prompts] | None = None,
    loader: ImageLoader = "crop",
    guidance: Guidance | None = None,
    seed: int = 1234,
    read: Callable[[Path], NDArray[np.uint8]] = read_image,
    posterior: Posterior = "mean",
    noise_on_device: bool = False,
    added_shift: bool = False,
) -> EditInputs:
    """Load and encode images and prompts of a batch.

    Args:
        model: the model.
        samples: the batch.
        resolution: side in pixels, for loaders that bring images to one.
        prompts: the prompts that a method edits each sample with; the sample's own by default.
        loader: how images are brought to the resolution.
        guidance: see ``EditInputs``.
        seed: see ``EditInputs``.
        read: reads an image file; from disk by default.
        posterior: see ``DiffusionModel.encode_images``; a sample is the seed's first draw.
        noise_on_device: see ``EditInputs``.
        added_shift: see ``DiffusionModel.encode_images``.

    Raises:
        PiebenchError: images that the loader leaves in different sizes, or in one that does not divide.
    """
    texts = prompts or [prompts_of_sample(sample, None) for sample in samples]
    images = _load_batch(samples, resolution, loader, read, _size_divisor(model))
    size = images[0].shape[:2]
    latents = model.encode_images(images, posterior, seed, noise_on_device, added_shift)
    inputs = embed_inputs(model, latents, texts, size, guidance or Guidance(), seed)
    return replace(
        inputs,
        same_source=same_sources(images, texts),
        draws_before=int(posterior == "sample"),
        noise_on_device=noise_on_device,
        pictures=images,
    )


def _load_batch(
    samples: Sequence[Sample],
    resolution: int,
    loader: ImageLoader,
    read: Callable[[Path], NDArray[np.uint8]],
    divisor: int,
) -> list[NDArray[np.uint8]]:
    """Load images as the model takes them: sides are multiples of the divisor, and the same for all."""
    images = [load_image(sample.file, resolution, loader, read, divisor) for sample in samples]
    for sample, image in zip(samples, images, strict=True):
        height, width, _ = image.shape
        size = f"{sample.file}: is {size_text((width, height))} after image_loader={loader}"
        if not width or not height:
            raise PiebenchError(
                f"{size}, which cuts sides to multiples of {divisor}; use image_loader=crop, which resizes"
            )
        if width % divisor or height % divisor:
            raise PiebenchError(f"{size}; sides must be multiples of {divisor}: use image_loader=crop")
        if image.shape != images[0].shape:
            raise PiebenchError(
                f"{size}, and others of its batch have another size; edit them one at a time "
                "(--batch-size 1), or use image_loader=crop"
            )
    return images


def working_resolution(model: DiffusionModel, resolution: int | None) -> int:
    """The side in pixels of the edits with this model.

    Args:
        model: the model.
        resolution: what the recipe asks for; None is the model's own.

    Raises:
        PiebenchError: its latents do not divide as the model needs, or are larger than it can take.
    """
    resolution = resolution or model.native_resolution
    sizes = ImageSizes(model.native_resolution, _size_divisor(model), model.largest_resolution)
    if (problem := sizes.problem(resolution)) is not None:
        raise PiebenchError(problem)
    return resolution


def _as_saved(image: NDArray[np.uint8], sample: Sample, common: CommonSettings) -> NDArray[np.uint8]:
    """An edit in the size that its source has when it is loaded at the recipe's output resolution."""
    if common.output_resolution is None:
        return image
    size = loaded_size(image_size(sample.file), common.image_loader, common.output_resolution)
    return resample(image, size, common.output_filter)


def _size_divisor(model: DiffusionModel) -> int:
    return model.vae_factor * model.family.latent_divisor


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> int:
    """Bytes at the peak, see ``EditResult``; 0 where the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
