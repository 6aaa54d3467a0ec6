"""Editing one batch of samples by one combination."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from piebench_eval.backbone.backbone import LATENT_DIVISOR
from piebench_eval.backbone.evaluations import UNetTally
from piebench_eval.bench.images import load_image
from piebench_eval.diffusion.edit_loop import EditInputs, edit
from piebench_eval.diffusion.schedule import ddim_schedule
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from piebench_eval.backbone.backbone import Backbone
    from piebench_eval.bench.sample import Sample
    from piebench_eval.runs.plan import Job
    from piebench_eval.runs.recipe import Recipe


@dataclass(frozen=True)
class EditResult:
    """An edited picture and what it cost.

    Attributes:
        sample: what was edited.
        image: the edit, ``[height, width, 3]``.
        latents: the edit before decoding, ``[4, h, w]``.
        seconds: wall time, the batch's divided by its size.
        unet_forward: UNet rows evaluated.
        unet_backward: UNet rows differentiated.
        peak_memory: bytes in use at the batch's peak, on the GPU; on the CPU the process's peak so far.
        notes: what the user should know.
    """

    sample: Sample
    image: NDArray[np.uint8]
    latents: torch.Tensor
    seconds: float
    unet_forward: int
    unet_backward: int
    peak_memory: int
    notes: list[str]


def edit_batch(backbone: Backbone, job: Job, recipe: Recipe) -> list[EditResult]:
    """Edit the samples of a job: load, encode, invert, edit, decode.

    Raises:
        PiebenchError: a resolution that the model cannot work at.
    """
    started = time.perf_counter()
    _reset_peak_memory(backbone.device)
    backbone.tally = UNetTally()
    resolution = working_resolution(backbone, recipe)
    inversion, method = INVERSIONS.get(job.inversion), METHODS.get(job.method)
    schedule = ddim_schedule(backbone.alphas_cumprod, recipe.steps)
    prepared = method.prepare(job.samples, backbone, recipe.steps, recipe.methods[job.method])
    inputs = encode_inputs(backbone, job.samples, resolution, recipe.guidance, recipe.seed)
    path = inversion.invert(backbone, inputs, schedule, recipe.inversions[job.inversion])
    latents = edit(backbone, inputs, path, prepared.control, schedule, recipe.guidance)
    finite = latents.flatten(1).isfinite().all(dim=1).tolist()
    if spoilt := [sample.id for sample, good in zip(job.samples, finite, strict=True) if not good]:
        raise PiebenchError(
            f"{job.inversion}+{job.method}: the latents of {', '.join(spoilt)} are no longer finite numbers; "
            "use --precision fp32 or bf16, or a lower --guidance"
        )
    images = backbone.decode_latents(latents)
    seconds = (time.perf_counter() - started) / len(job.samples)
    return [
        EditResult(
            sample=sample,
            image=images[place],
            latents=latents[place],
            seconds=seconds,
            unet_forward=backbone.tally.forward[place],
            unet_backward=backbone.tally.backward[place],
            peak_memory=_peak_memory(backbone.device),
            notes=prepared.notes[place],
        )
        for place, sample in enumerate(job.samples)
    ]


def encode_inputs(
    backbone: Backbone,
    samples: Sequence[Sample],
    resolution: int,
    guidance: float = 7.5,
    seed: int = 1234,
) -> EditInputs:
    """Load and encode pictures and prompts of a batch."""
    images = [load_image(sample.file, resolution) for sample in samples]
    uncond = backbone.embed_prompts([""])
    return EditInputs(
        latents=backbone.encode_images(images),
        source=backbone.embed_prompts([sample.source_prompt for sample in samples]),
        target=backbone.embed_prompts([sample.target_prompt for sample in samples]),
        uncond=uncond.expand(len(samples), -1, -1),
        guidance=guidance,
        seed=seed,
    )


def working_resolution(backbone: Backbone, recipe: Recipe) -> int:
    """The side in pixels that a recipe's edits have with this model.

    Raises:
        PiebenchError: its latents do not divide by 8.
    """
    resolution = recipe.resolution or backbone.native_resolution
    divisor = backbone.vae_factor * LATENT_DIVISOR
    if resolution % divisor:
        raise PiebenchError(f"resolution {resolution}: must be a multiple of {divisor} with this model")
    return resolution


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
