"""Calling a pipeline of diffusers for each sample of a batch."""

from __future__ import annotations

import inspect
import logging
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from piebench_eval.data.images import image_size, size_text
from piebench_eval.editors.base import EditedPictures
from piebench_eval.errors import PiebenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from piebench_eval.data.sample import Sample

_DENOISERS = ("unet", "transformer")
_LIBRARIES = ("diffusers", "transformers")
_WATCH: ContextVar[Callable[[int], None] | None] = ContextVar("watch", default=None)
_SAYS_NOTHING = "should be kept in float32: []"
"""In a warning of diffusers about parts that stay in float32: there are none."""


def call_for_each(
    pipeline: Any,
    pictures: Sequence[NDArray[np.uint8]],
    samples: Sequence[Sample],
    common: Any,
    arguments: Callable[[Image.Image, Sample], dict[str, Any]],
) -> EditedPictures:
    """Edit pictures one at a time, so that no picture depends on its batch.

    Each call gets the recipe's ``num_inference_steps``, a generator on the CPU that begins with its seed, and
    ``output_type``, as far as the pipeline takes them.

    Args:
        pipeline: the pipeline.
        pictures: ``[height, width, 3]``, one per sample.
        samples: the batch.
        common: the recipe's common settings.
        arguments: ``(image, sample)`` -> what else the pipeline is called with; those that it returns come
            before the ones above.

    Returns:
        What the pipeline returns, as floats from 0 to 1; what its safety checker says; the rows of the
        denoiser that the longest call took; and as notes what diffusers warns of.

    Raises:
        PiebenchError: the pipeline returns no pictures.
    """
    import torch
    from PIL import Image

    known = call_parameters(type(pipeline))
    edited, flagged, notes, rows = [], [], [], 0
    for picture, sample in zip(pictures, samples, strict=True):
        automatic = {
            "num_inference_steps": common.steps,
            "generator": torch.Generator("cpu").manual_seed(common.seed),
            "output_type": "np",
        }
        given = {name: value for name, value in automatic.items() if name in known}
        given |= arguments(Image.fromarray(picture), sample)
        with torch.inference_mode(), _counted_rows(pipeline) as counts, _kept_warnings() as warned:
            output = pipeline(**given)
        if not hasattr(output, "images"):
            raise PiebenchError(f"{type(pipeline).__name__} returns no pictures but {type(output).__name__}")
        edited.append(output.images[0] if len(output.images) == 1 else output.images)
        flagged.append(bool((getattr(output, "nsfw_content_detected", None) or [False])[0]))
        notes.append(warned)
        rows = max(rows, sum(counts))
    return EditedPictures(edited, flagged, rows or None, notes)


def call_parameters(pipeline_class: Any) -> list[str]:
    """The names of what a pipeline is called with."""
    return [name for name in inspect.signature(pipeline_class.__call__).parameters if name != "self"]


def resolution_of_unet(pipeline: Any, common: Any) -> int:
    """Side in pixels of the pictures that a pipeline's UNet was trained on."""
    return int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)


def mask_image(sample: Sample, image: Image.Image, common: Any) -> Image.Image:
    """A sample's mask as pipelines take it: of the size of the loaded picture, white where it is edited.

    Args:
        sample: whose mask.
        image: the loaded picture.
        common: the recipe's common settings: how it was loaded.

    Raises:
        PiebenchError: the picture, which gives the mask's size, is missing or damaged.
    """
    from PIL import Image as Images

    from piebench_eval.data.masks import load_mask

    resolution = None if image.size == image_size(sample.file) else min(image.size)
    return Images.fromarray(load_mask(sample, resolution, common.image_loader)).convert("L")


def require_sides(pictures: Sequence[NDArray[np.uint8]], samples: Sequence[Sample], multiple: int) -> None:
    """Check that a pipeline can take pictures in their size.

    Args:
        pictures: ``[height, width, 3]``, one per sample.
        samples: the batch.
        multiple: of which both sides have to be one.

    Raises:
        PiebenchError: a side is none.
    """
    for picture, sample in zip(pictures, samples, strict=True):
        height, width = picture.shape[:2]
        if height % multiple or width % multiple:
            raise PiebenchError(
                f"{sample.file}: is loaded as {size_text((width, height))}, and this editor takes sides "
                f"that are multiples of {multiple}; set such a resolution, 512 for example"
            )


@contextmanager
def watched_rows(watch: Callable[[int], None]) -> Iterator[None]:
    """Tell of every call of a pipeline's denoiser in the body, before it is computed.

    Args:
        watch: is told the rows of the call; what it raises ends the edit.
    """
    before = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(before)


@contextmanager
def _counted_rows(pipeline: Any) -> Iterator[list[int]]:
    """The rows of every call of the denoiser, as a list that grows."""
    import torch

    rows: list[int] = []
    watch = _WATCH.get()

    def count(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        rows.append(next((len(tensor) for tensor in tensors if tensor.ndim), 1))
        if watch is not None:
            watch(rows[-1])

    with ExitStack() as removed:
        for name in _DENOISERS:
            if (network := getattr(pipeline, name, None)) is not None:
                removed.callback(network.register_forward_pre_hook(count, with_kwargs=True).remove)
        yield rows


@contextmanager
def _kept_warnings() -> Iterator[list[str]]:
    """What diffusers and transformers warn of, as a list of lines in the place of the terminal."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = " ".join(record.getMessage().split())
            if _SAYS_NOTHING not in line and line not in lines:
                lines.append(line)

    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    before = [(logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [Keep(logging.WARNING)], False
    try:
        yield lines
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
