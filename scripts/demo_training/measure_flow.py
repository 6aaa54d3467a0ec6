"""Measure the flow transformer on held-out scenes, for the model card."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from piebench_eval.demo.draw import draw
from piebench_eval.demo.embedded import DEMO_FLOW, locate
from piebench_eval.demo.scene import Scene, caption
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import invert_ode, sample_ode
from piebench_eval.diffusion.schedules import shifted_flow_schedule
from piebench_eval.inversions.trajectory import FlowSolver, flow_solver
from piebench_eval.models.base import DiffusionModel
from piebench_eval.models.loading import load_model
from scripts.demo_training import flow
from scripts.demo_training.data import scene
from scripts.demo_training.measure import decode, one_object_scenes, psnr, shares_right
from scripts.demo_training.recognise import recognise

SAMPLING_STEPS, GUIDANCE = 24, 4.0

_WAYS: tuple[tuple[FlowSolver, int], ...] = (
    ("euler", 12),
    ("euler", 24),
    ("euler", 48),
    ("midpoint", 12),
    ("midpoint", 24),
    ("fireflow", 12),
    ("fireflow", 24),
)


@dataclass(frozen=True)
class Inverted:
    """How well a solver comes back.

    Attributes:
        solver: of inversion and sampling.
        steps: of each.
        evaluations: of the model, for both together.
        psnr: mean against the autoencoder's own reconstruction, dB.
    """

    solver: str
    steps: int
    evaluations: int
    psnr: float


def load_flow() -> DiffusionModel:
    """The packaged flow transformer, with as many tokens as it was trained on."""
    return load_model(locate("model", DEMO_FLOW), t5_length=flow.T5_LENGTH)


def measure_flow(
    model: DiffusionModel, prompts: int = 200, inversions: int = 20
) -> tuple[dict[str, float], list[Inverted]]:
    """All its numbers of the model card; the arguments say on how many scenes each is measured."""
    scenes = [scene("held-out", index) for index in range(inversions)]
    return flow_right(model, prompts), [inverted(model, scenes, *way) for way in _WAYS]


def flow_right(model: DiffusionModel, wanted: int) -> dict[str, float]:
    """How the check judges pictures sampled from noise for drawings' captions."""
    scenes = one_object_scenes(wanted)
    pictures = sample_flow(model, [caption(shown) for shown in scenes])
    return shares_right(scenes, [recognise(picture) for picture in pictures])


def sample_flow(model: DiffusionModel, prompts: Sequence[str], seed: int = 0) -> NDArray[np.uint8]:
    """Euler's sampling from noise; ``[prompts, side, side, 3]``."""
    cond, uncond = model.embed_prompts(prompts), model.embed_prompts([""] * len(prompts))
    noise = torch.randn(len(prompts), 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    schedule = shifted_flow_schedule(SAMPLING_STEPS, flow.SHIFT)
    sampled = sample_ode(model, noise.to(model.device), cond, uncond, schedule, Guidance(GUIDANCE))
    return decode(model, sampled[0])


def inverted(model: DiffusionModel, scenes: Sequence[Scene], name: FlowSolver, steps: int) -> Inverted:
    """Invert drawings and sample them back, both at guidance 1 and by one solver."""
    schedule, solver = shifted_flow_schedule(steps, flow.SHIFT), flow_solver(name)
    start = model.encode_images([draw(shown) for shown in scenes])
    cond = model.embed_prompts([caption(shown) for shown in scenes])
    before = model.evaluations.snapshot()
    noise = invert_ode(model, start, cond, cond, schedule, evaluate_at="own", solver=solver)[-1]
    back = sample_ode(model, noise, cond, cond, schedule, solver=solver)[0]
    pairs = zip(decode(model, start), decode(model, back), strict=True)
    values = [psnr(one, other) for one, other in pairs]
    evaluations, _ = model.evaluations.since(before, 0)
    return Inverted(name, steps, evaluations, float(np.mean(values)))
