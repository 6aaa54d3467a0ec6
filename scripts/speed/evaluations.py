"""Time single evaluations of a flow model: what its editing methods cost is their number."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from piebench_eval.data.sample import Sample
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.recipes.run_config import RunConfig
from piebench_eval.recipes.sweep import RUN_AXIS
from piebench_eval.runs.forecast import count_evaluations
from scripts.speed.flops import synchronize
from scripts.speed.measure import Timing
from scripts.speed.memory import PeakMemory

_CLIP_TOKENS = 77
_TIMESTEP = 500.0


@dataclass
class Evaluations:
    """What was measured of single evaluations.

    Attributes:
        timings: seconds and memory per row, by batch size.
        ends: seconds per picture of encoding and decoding, by batch size.
        failed: batch sizes that could not be measured, and why.
    """

    timings: list[Timing] = field(default_factory=list)
    ends: dict[int, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def fastest(self) -> Timing:
        return min(self.timings, key=lambda timing: timing.seconds)


def random_texts(model: DiffusionModel, rows: int) -> Conditioning:
    """What so many rows are conditioned on, in the shapes of the family's prompts."""
    config, family = model.denoiser.config, model.family
    tokens = family.t5_length + (_CLIP_TOKENS if family.name == "sd3" else 0)
    device = model.device
    return Conditioning(
        torch.randn(rows, tokens, config.joint_attention_dim, device=device),
        torch.randn(rows, config.pooled_projection_dim, device=device),
        {"guidance": torch.ones(rows, device=device)} if config.get("guidance_embeds") else {},
    )


@torch.no_grad()
def time_evaluations(model: DiffusionModel, side: int, batch: int, repeats: int, warm_up: bool) -> Timing:
    """Time one call of the model for a batch of rows, the attention's hook not installed.

    Args:
        model: the model.
        side: of the pictures in pixels.
        batch: rows of the call.
        repeats: how often it is timed; the median counts.
        warm_up: call it once before, untimed: what is compiled or tuned when it is first met.
    """
    shape = (batch, model.family.latent_channels, side // model.vae_factor, side // model.vae_factor)
    latents, texts = torch.randn(shape, device=model.device), random_texts(model, batch)
    seconds, samples = [], list(range(batch))
    if warm_up:
        model.predict(latents, _TIMESTEP, texts, samples)
    with PeakMemory(model.device) as peak:
        for _ in range(repeats):
            synchronize(model.device)
            started = time.perf_counter()
            model.predict(latents, _TIMESTEP, texts, samples)
            synchronize(model.device)
            seconds.append(time.perf_counter() - started)
    memory = None if peak.taken is None else peak.taken / batch
    return Timing(batch, statistics.median(seconds) / batch, memory, peak.most)


def time_pictures(model: DiffusionModel, side: int, batch: int, warm_up: bool) -> float:
    """Seconds per picture of encoding and decoding."""
    images = [np.zeros((side, side, 3), dtype=np.uint8)] * batch
    for _ in range(1 + warm_up):
        synchronize(model.device)
        started = time.perf_counter()
        model.decode_latents(model.encode_images(images))
        synchronize(model.device)
        seconds = (time.perf_counter() - started) / batch
    return seconds


@torch.no_grad()
def flops_of_evaluation(model: DiffusionModel, side: int) -> int:
    """Operations of one row (a multiplication and an addition are two), counted without data.

    Args:
        model: a model without data, on the device ``meta``.
        side: of the pictures in pixels.
    """
    shape = (1, model.family.latent_channels, side // model.vae_factor, side // model.vae_factor)
    latents = torch.empty(shape, device=model.device)
    with FlopCounterMode(display=False) as counter:
        model.predict(latents, _TIMESTEP, random_texts(model, 1), [0])
    return counter.get_total_flops()


def recipes_of(model: str, samples: Sequence[Sample]) -> Mapping[str, int]:
    """Evaluations per edit of the runs of ``flow-table`` with a model, by their names."""
    table, found = RunConfig(Path("flow-table"), "any"), {}
    for name in table.runs:
        recipe, _ = table.build({RUN_AXIS: name})
        if recipe.model == model:
            found[name] = max(cost.total for cost in count_evaluations(recipe, samples[:1]).values())
    return found
