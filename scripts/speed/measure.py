"""Time combinations, and the plain implementation beside them."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DConditionModel

from piebench_eval.data.sample import Sample
from piebench_eval.demo.embedded import locate
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.methods.masactrl import START_LAYERS
from piebench_eval.methods.pnp import FEATURE_MODULES, FIRST_ATTENTION_LAYERS
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.cache import Cache
from piebench_eval.models.families import Family
from piebench_eval.models.from_pretrained import load_complete
from piebench_eval.recipes.combination import Combination
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs, working_resolution
from piebench_eval.runs.runner import EditResult
from scripts.plain.controls import Layers
from scripts.plain.edit import plain_edit
from scripts.plain.model import PlainModel, plain_model
from scripts.speed.flops import synchronize
from scripts.speed.memory import PeakMemory

TOLERANCE, NULL_TEXT_TOLERANCE = (2e-3, 2e-4), (1e-2, 1e-3)
"""How far float32 latents may lie from the plain ones, at most and as root mean square, as for the recordings
of the reference. Null-text's Adam turns the sign of a tiny gradient, which is noise, into a whole step."""


@dataclass(frozen=True)
class Timing:
    """One batch size: seconds per image (the median), and memory.

    ``memory``: what the batch takes, in bytes per image; ``peak``: the most in use meanwhile, weights
    included.
    """

    batch: int
    seconds: float
    memory: float | None
    peak: int | None = None


@dataclass(frozen=True)
class Plain:
    """The plain implementation: seconds, its UNet rows, and how far the package's latents are from its."""

    seconds: float
    forward: int
    backward: int
    max_difference: float
    rms_difference: float


@dataclass(frozen=True)
class Measured:
    """One combination by itself; UNet rows as they were counted, of the last image of the largest batch."""

    combination: str
    forward: int
    backward: int
    timings: list[Timing]
    plain: Plain | None = None

    @property
    def fastest(self) -> Timing:
        return min(self.timings, key=lambda timing: timing.seconds)

    @property
    def rows(self) -> int:
        """Forward and backward."""
        return self.forward + self.backward

    @property
    def rows_per_second(self) -> float:
        """At the fastest batch size; encoding and decoding take part of the time."""
        return self.rows / self.fastest.seconds

    @property
    def ratio(self) -> float | None:
        """How many times more seconds the plain implementation takes."""
        return None if self.plain is None else self.plain.seconds / self.fastest.seconds

    @property
    def is_near(self) -> bool:
        """Whether the latents are the plain ones, within the tolerance; nothing says no without them."""
        largest, rms = NULL_TEXT_TOLERANCE if self.combination.startswith("null_text") else TOLERANCE
        plain = self.plain
        return plain is None or (plain.max_difference <= largest and plain.rms_difference <= rms)


def measure(
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    batch_sizes: Sequence[int],
    repeats: int = 1,
    warm_up: bool = False,
) -> tuple[Measured, EditResult]:
    """Time a combination at several batch sizes, nothing shared with others; and the last sample's edit.

    Args:
        model: the model.
        samples: as many as the largest batch has.
        combination: how they are edited.
        batch_sizes: samples per batch.
        repeats: how often each is timed.
        warm_up: edit once before, untimed: what is compiled or tuned when it is first met.
    """
    timings, edits = [], {}
    for batch in batch_sizes:
        if warm_up:
            _alone(model, samples[:batch], combination)
        model.cache = None
        with PeakMemory(model.device) as peak:
            seconds, results = _alone(model, samples[:batch], combination)
        more = [_alone(model, samples[:batch], combination)[0] for _ in range(repeats - 1)]
        memory = None if peak.taken is None else peak.taken / batch
        timings.append(Timing(batch, statistics.median([seconds, *more]) / batch, memory, peak.most))
        edits[batch] = results[-1]
    last = edits[max(batch_sizes)]
    return Measured(combination.name, last.nfe_forward, last.nfe_backward, timings), last


def time_ends(
    model: DiffusionModel,
    samples: Sequence[Sample],
    combination: Combination,
    batch_sizes: Sequence[int],
    warm_up: bool = False,
) -> dict[int, float]:
    """Seconds per image of reading, encoding and decoding, by batch size; no step of the UNet is among them.

    They do not grow with the number of steps, so that a projection must not either.
    """
    common = combination.common
    side, found = working_resolution(model, common.resolution), {}
    for batch in batch_sizes:
        for _ in range(1 + warm_up):
            model.cache = Cache({})
            synchronize(model.device)
            started = time.perf_counter()
            inputs = encode_inputs(model, samples[:batch], side, loader=common.image_loader)
            model.decode_latents(inputs.latents)
            synchronize(model.device)
            found[batch] = (time.perf_counter() - started) / batch
    return found


def beside_plain(
    measured: Measured,
    edited: EditResult,
    diffusion_model: DiffusionModel,
    unet: UNet2DConditionModel,
    combination: Combination,
    warm_up: bool = False,
) -> Measured:
    """Edit the same picture by the plain implementation: batch 1, every row, every map, encoded anew.

    Args:
        measured: what is known of the combination.
        edited: the package's edit of the picture.
        diffusion_model: the autoencoder and the text encoder.
        unet: in float32; null-text differentiates its weights too, as the reference does.
        combination: how it is edited.
        warm_up: edit in two steps before, untimed.
    """
    common = combination.common
    diffusion_model.cache = None
    side = working_resolution(diffusion_model, common.resolution)

    def in_steps(steps: int) -> tuple[torch.Tensor, PlainModel]:
        schedule = ddim_schedule(
            diffusion_model.alphas_cumprod, steps, common.steps_offset, common.set_alpha_to_one
        )
        z0 = encode_inputs(diffusion_model, [edited.sample], side, loader=common.image_loader).latents
        size = tuple(side * diffusion_model.vae_factor for side in z0.shape[2:])
        with plain_model(diffusion_model, size, unet) as model:
            layers = layers_of(diffusion_model.family)
            latents = plain_edit(model, combination, edited.sample, z0, schedule, layers)
        diffusion_model.decode_latents(latents)
        synchronize(diffusion_model.device)
        return latents, model

    if warm_up:
        in_steps(2)
    started = time.perf_counter()
    latents, model = in_steps(common.steps)
    seconds = time.perf_counter() - started
    off = (latents[0] - edited.latents.to(latents)).abs()
    found = Plain(seconds, model.forward, model.backward, float(off.max()), float(off.square().mean().sqrt()))
    return replace(measured, plain=found)


def layers_of(family: Family) -> Layers:
    """Where the package's methods act in a family's UNet, if their settings do not say."""
    return Layers(
        mutual=START_LAYERS[family.name],
        features=FEATURE_MODULES[family.name],
        queries=FIRST_ATTENTION_LAYERS[family.name],
    )


def plain_unet(model: str, device: torch.device) -> UNet2DConditionModel:
    """A UNet as diffusers loads it, its weights not frozen."""
    return load_complete(
        UNet2DConditionModel, locate("model", model), device, subfolder="unet", low_cpu_mem_usage=False
    ).requires_grad_(True)


def time_grid(model: DiffusionModel, samples: Sequence[Sample], combinations: Sequence[Combination]) -> float:
    """Seconds per image for all combinations one after another, sharing what they can."""
    model.cache = Cache({})
    return sum(_timed(model, samples, combination)[0] for combination in combinations) / len(samples)


def _alone(
    model: DiffusionModel, samples: Sequence[Sample], combination: Combination
) -> tuple[float, list[EditResult]]:
    model.cache = Cache({})
    return _timed(model, samples, combination)


def _timed(
    model: DiffusionModel, samples: Sequence[Sample], combination: Combination
) -> tuple[float, list[EditResult]]:
    synchronize(model.device)
    started = time.perf_counter()
    results = edit_batch(model, samples, combination)
    synchronize(model.device)
    return time.perf_counter() - started, results
