"""What was recorded of InstaFlow: its published pipeline, and inversions of it; a small model as a flow."""

import json

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.diffusion.schedules import uniform_flow_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.batch_editing import encode_inputs
from tests.golden.recordings import GREY_LEVELS, SHARE_OF_VALUES, load_case

pytestmark = pytest.mark.golden

CASE_AND_SLOW_OTHERS = ["case1_cake", pytest.param("case3_astronaut", marks=pytest.mark.slow)]
SETTINGS = {"same": {}, "own": {"evaluate_at": "own"}, "fixpoint": {"refinements": 3}}
# Four steps repeat the arithmetic of two, and refinements in one step that of each of two; every kind stays.
INVERTED = [("same", 1), ("same", 2), ("own", 1), ("fixpoint", 2)] + [
    pytest.param(kind, steps, marks=pytest.mark.slow)
    for kind, steps in (("fixpoint", 1), *((kind, 4) for kind in SETTINGS))
]


@pytest.fixture(scope="module")
def flow_model(golden):
    return load_model(str(golden / "tiny-sd"), family="instaflow")


class Case:
    """One recorded case: its arrays, and its inputs as the package makes them."""

    def __init__(self, model, golden, golden_flow_b, name):
        self.recorded = np.load(golden_flow_b / "npz" / f"instaflow__sd-{name}.npz")
        about = json.loads((golden_flow_b / "cases.json").read_text())[f"sd-{name}"]
        self.negative = about["runs"]["instaflow"]["negative_prompt_of_cfg_run"]
        self.sample = load_case(golden, name)
        assert self.sample.source_prompt == about["source_prompt"]
        self.inputs = encode_inputs(model, [self.sample], 512, guidance=Guidance(1))
        self.model = model

    def check(self, found, name):
        """Within the recording's own recommendation."""
        error = np.abs(found.numpy() - self.recorded[name])
        assert error.max() <= 1e-4 and np.sqrt((error**2).mean()) <= 1e-5, name

    def sampled(self, cond, steps, uncond=None, guidance=1.0):
        schedule = uniform_flow_schedule(steps, "image")
        noise, uncond = torch.from_numpy(self.recorded["noise"]), uncond or self.inputs.uncond_embeds
        return sample_ode(self.model, noise, cond, uncond, schedule, Guidance(guidance))


@pytest.fixture(scope="module", params=CASE_AND_SLOW_OTHERS)
def case(request, flow_model, golden, golden_flow_b):
    return Case(flow_model, golden, golden_flow_b, request.param)


def test_picture_and_prompts(case):
    case.check(case.inputs.latents, "z0")
    negative = case.model.embed_prompts([case.negative])
    texts = case.inputs.source_embeds, case.inputs.target_embeds, case.inputs.uncond_embeds, negative
    for name, text in zip(("src", "tgt", "null", "negative"), texts, strict=True):
        case.check(text.tokens, f"prompt_embeds_{name}")


@pytest.mark.parametrize("steps", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_text_to_image(case, steps):
    times = uniform_flow_schedule(steps, "image").timesteps
    assert list(times[::-1]) == case.recorded[f"sample_N{steps}_timesteps"].tolist()
    found = case.sampled(case.inputs.source_embeds, steps)
    case.check(found[0], f"sample_N{steps}_final")
    if steps > 1:
        case.check(found[:-1].flip(0)[:, 0], f"sample_N{steps}_traj")


def test_text_to_image_with_guidance_away_from_a_negative_prompt(case):
    negative = case.model.embed_prompts([case.negative])
    found = case.sampled(case.inputs.target_embeds, 4, negative, 1.5)
    case.check(found[0], "sample_N4_cfg1p5_final")
    case.check(found[:-1].flip(0)[:, 0], "sample_N4_cfg1p5_traj")


def test_the_picture_of_one_step(case):
    if "sample_N1_image_crop" not in case.recorded:
        pytest.skip("this case's picture was not recorded")
    image = case.model.decode_latents(case.sampled(case.inputs.source_embeds, 1)[0])[0, 128:384, 128:384]
    apart = np.abs(image.astype(int) - case.recorded["sample_N1_image_crop"])
    assert (apart <= GREY_LEVELS).mean() >= SHARE_OF_VALUES


@pytest.mark.parametrize(("kind", "steps"), INVERTED)
def test_inversion_reconstruction_and_edit(case, kind, steps):
    """By the package's inversion; the edit by its loop, with the target prompt alone."""
    schedule, euler, method = uniform_flow_schedule(steps, "image"), INVERSIONS.get("euler"), "plain"
    case.model.evaluations = EvaluationCounter()
    inverted = euler.invert(case.model, case.inputs, schedule, euler.settings(**SETTINGS[kind]))
    assert case.model.evaluations.forward[0] == case.recorded[f"calls_{kind}_N{steps}"]
    case.check(inverted.trajectory[-1], f"inv_{kind}_N{steps}")
    texts = case.inputs.source_embeds, case.inputs.uncond_embeds
    again = sample_ode(case.model, inverted.trajectory[-1], *texts, schedule)[0]
    case.check(again, f"recon_{kind}_N{steps}")
    if kind == "same":
        settings = METHODS.get(method).settings()
        controller = METHODS.get(method).prepare([case.sample], case.model, steps, settings).controller
        edited = edit(case.model, case.inputs, inverted, controller, schedule)
        case.check(edited, f"edit_{kind}_N{steps}")
