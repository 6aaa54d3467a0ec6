"""InfEdit: the virtual inversion with unified attention control, held to recordings of its own code."""

import json
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from piebench_eval.data.sample import Sample
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.rows import Branch
from piebench_eval.inversions import INVERSIONS, ddcm
from piebench_eval.methods import METHODS
from piebench_eval.methods.infedit import UnifiedAttentionController, plan_words
from piebench_eval.models.loading import load_model
from piebench_eval.models.nfe import EvaluationCounter
from piebench_eval.runs.edit_inputs import embed_inputs, plan_guidance, plan_schedule
from tests.support.recipes import shipped

pytestmark = pytest.mark.golden

CAKE, ASTRONAUT = "sd-case1_cake", "sd-case3_astronaut"
STEPS = 12

# The recordings' own recommendation; trajectories were met to 5.7e-4 by an independent implementation.
FINAL_MAX, FINAL_RMS, TRAJECTORY, MASK_PIXELS = 5e-3, 6e-4, 5e-3, 3


@pytest.fixture(scope="module")
def lcm(golden):
    """A small Stable Diffusion in place of the latent consistency model, as it was recorded."""
    return load_model(str(golden / "tiny-sd"), family="lcm")


@pytest.fixture(scope="module")
def combination(golden):
    overrides = {"model": str(golden / "tiny-sd"), "family": "lcm"}
    return shipped("infedit", overrides).combination("ddcm", "infedit")


def load(folder, case):
    """A case's sample and its recording."""
    about = json.loads((folder / "cases.json").read_text())[case]
    local = about["runs"]["infedit"]["local"]
    prompts = about["source_prompt"], about["target_prompt"]
    sample = Sample(case, "", folder, *prompts, "", "0", f"|{local}" if local else "", ())
    return sample, np.load(folder / "npz" / f"infedit__{case}.npz")


class Stop(Exception):
    """Enough steps."""


@dataclass
class Walk:
    """What an edit went through, step by step: all branches, the blended target and the masks."""

    branches: list = field(default_factory=list)
    blended: list = field(default_factory=list)
    masks: list = field(default_factory=list)
    final: torch.Tensor | None = None


def walk(lcm, combination, sample, recording, monkeypatch, steps=STEPS):
    """Edit with the recording's posterior sample and noises."""
    found, end_step = Walk(), UnifiedAttentionController.end_step

    def record(self, step, latents):
        found.branches.append(dict(latents))
        found.blended.append(end_step(self, step, latents))
        if self.region.attention is not None:
            threshold = max(0.15 / self._signal, self.settings.blend_threshold)
            found.masks.append(self.region.mask(64, 64, threshold)[0, 0].numpy())
        if len(found.blended) == steps < STEPS:
            raise Stop
        return found.blended[-1]

    # By level: the noise of the last step, which leads to the picture, has no effect.
    drawn = np.concatenate([recording["noises"][STEPS - 2 :: -1, None], recording["xT"][None]])
    monkeypatch.setattr(ddcm, "drawn_noise", lambda inputs, count: torch.from_numpy(drawn[:count]))
    monkeypatch.setattr(UnifiedAttentionController, "end_step", record)
    common, method = combination.common, METHODS.get("infedit")
    schedule = plan_schedule(lcm, common)
    assert list(schedule.timesteps[::-1]) == recording["timesteps"].tolist()
    texts = [method.prompts(sample, combination.method_settings)]
    latents = torch.from_numpy(recording["z0"])
    inputs = embed_inputs(lcm, latents, texts, (512, 512), plan_guidance(lcm, common), common.seed)
    lcm.evaluations = EvaluationCounter()
    inverted = INVERSIONS.get("ddcm").invert(lcm, inputs, schedule, combination.inversion_settings)
    controller = method.prepare([sample], lcm, common.steps, combination.method_settings).controller
    with suppress(Stop):
        found.final = edit(lcm, inputs, inverted, controller, schedule)
    return found


def check_trajectories(found, recording, steps):
    """The branches after every step but the last, which the recorded code takes to another level."""

    def check(latents, name, step):
        expected = recording[f"x_{name}_strided"][step]
        np.testing.assert_allclose(latents[0, :, ::8, ::8], expected, atol=TRAJECTORY, rtol=0)

    for step in range(min(steps, STEPS - 1)):
        check(found.branches[step][Branch.SOURCE], "source_after_step", step)
        check(found.branches[step][Branch.TARGET], "target_after_step", step)
        check(found.blended[step], "target_after_blend", step)
        if found.masks or (step + 2) / STEPS <= 0.7:  # after that, nobody reads the mutual branch
            check(found.branches[step][Branch.MUTUAL], "mutual_after_step", step)


def check_masks(found, recording):
    expected = np.unpackbits(recording["mask_packed"][::3], axis=-1).astype(
        bool
    )  # edit, of edit, mutual, both
    for step, mask in enumerate(found.masks[1 : STEPS - 1]):
        assert (mask != expected[step]).sum() <= MASK_PIXELS


def check_final(final, recording):
    error = np.abs(final.numpy() - recording["edit_final"])
    assert error.max() <= FINAL_MAX
    assert np.sqrt((error**2).mean()) <= FINAL_RMS


@pytest.mark.parametrize("case", [CAKE, ASTRONAUT])
def test_words(golden_flow_b, lcm, combination, case):
    sample, recording = load(golden_flow_b, case)
    plan = plan_words(sample, lcm, combination.method_settings)
    np.testing.assert_array_equal(plan.mapper, recording["mapper"])
    np.testing.assert_array_equal(plan.use_mutual_map, recording["alphas"])
    np.testing.assert_array_equal(plan.word, recording["alpha_e"])
    assert plan.blends == bool(recording["local"]) and not plan.notes


def test_without_its_quirk_another_word_is_paired(golden_flow_b, lcm, combination):
    sample, recording = load(golden_flow_b, ASTRONAUT)
    plan = plan_words(sample, lcm, type(combination.method_settings)())
    assert plan.mapper[2:4].tolist() == [2, -1] and recording["mapper"][2:4].tolist() == [-1, 2]


# The second picture repeats the first; its words and their pairs have tests of their own above.
@pytest.mark.parametrize("case", [CAKE, pytest.param(ASTRONAUT, marks=pytest.mark.slow)])
def test_it_begins_as_its_own_code(golden_flow_b, lcm, combination, monkeypatch, case):
    """Three steps: the second is the first that blends."""
    sample, recording = load(golden_flow_b, case)
    found = walk(lcm, combination, sample, recording, monkeypatch, steps=3)
    check_trajectories(found, recording, steps=3)
    check_masks(found, recording)


@pytest.mark.slow
@pytest.mark.parametrize("case", [CAKE, ASTRONAUT])
def test_an_edit_is_that_of_its_own_code(golden_flow_b, lcm, combination, monkeypatch, case):
    sample, recording = load(golden_flow_b, case)
    found = walk(lcm, combination, sample, recording, monkeypatch)
    check_final(found.final, recording)
    check_trajectories(found, recording, STEPS)
    check_masks(found, recording)
    assert lcm.evaluations.forward[0] <= recording["unet_rows"]
    if "edited_image_crop" in recording:
        image = lcm.decode_latents(found.final)[0, 128:384, 128:384].astype(int)
        apart = np.abs(image - recording["edited_image_crop"].astype(int))
        assert (apart <= 1).mean() >= 0.99
