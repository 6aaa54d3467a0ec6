"""FLUX.1: the numbers of FlowEdit's, RF-Inversion's and DNAEdit's codes, by the package's recipes.

Euler's inversion is here as well, which has none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from piebench_eval.data.images import read_image
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.methods import METHODS
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.models.packing import packed, unpacked
from piebench_eval.recipes.combination import Combination
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from tests.golden.recordings import (
    check_final,
    check_picture,
    load_flow_case,
    near,
    recorded_calls,
    recording_of,
)
from tests.support.recipes import shipped

pytestmark = pytest.mark.golden

# The recordings' own recommendation.
FINAL_MAX, FINAL_RMS, INVERTED, BETWEEN = 2e-4, 2e-5, 1e-4, 3e-4
SIGMAS, TIMESTEPS = 1e-6, 1e-3
GREY_LEVELS, OTHER_VALUES = 1, 0.01

# Fewer steps than the recipes have, and pictures in the recordings' sizes.
FLOWEDIT = ("flowedit-flux", {"steps": 14, "inversion.n_max": 12})
DNAEDIT = ("dnaedit-flux", {"steps": 14, "inversion.skip": 2})
RF_INVERSION = (
    "rf-inversion-flux",
    {"steps": 12, "image_loader": "crop_to_multiple", "resolution": None, "output_resolution": None},
)
DECAYING = {"inversion.gamma": 0.7, "inversion.guidance": 1, "method.eta": 0.8, "method.start": 0.17}
DECAYING |= {"method.stop": 0.6, "method.decay_power": 2, "method.inversion_prompt": "source"}
EULER = {
    "steps": 12,
    "guidance": 3.5,
    "image_loader": "crop_to_multiple",
    "grey_levels": "round",
    "inversions": {"euler": {"evaluate_at": "own"}},
    "methods": ["plain"],
}
RECORDED = {
    # name: a recipe of the package with other settings, and the recording's folder
    "flowedit_flux": (*FLOWEDIT, {}, "golden_flow"),
    "flowedit_flux_navg2": (*FLOWEDIT, {"inversion.n_avg": 2}, "golden_flow"),
    "flowedit_flux_nmin4": (*FLOWEDIT, {"inversion.n_min": 4}, "golden_flow"),
    "rfinv": (*RF_INVERSION, {}, "golden_flow"),
    "rfinv_decay": (*RF_INVERSION, DECAYING, "golden_flow"),
    "rfinv_strength": (*RF_INVERSION, {"inversion.strength": 0.75}, "golden_flow"),
    "rfinv_sde": (*RF_INVERSION, {"inversion.sampler": "sde"}, "golden_flow"),
    "euler_flux": (None, {}, {}, "golden_flow"),
    "dna_flux": (*DNAEDIT, {}, "golden_flow_c"),
    "dna_flux_mvg1": (*DNAEDIT, {"method.mvg": 1, "inversion.skip": 4}, "golden_flow_c"),
}
FAST = [
    ("flowedit_flux", "case2"),  # the picture is cropped
    ("flowedit_flux_navg2", "case1"),
    ("flowedit_flux_nmin4", "case2"),
    ("rfinv", "case2"),  # the picture is resized
    ("rfinv_decay", "case1"),
    ("rfinv_strength", "case2"),
    ("rfinv_sde", "case1"),
    ("euler_flux", "case3"),  # an odd number of rows, and prompts that CLIP reads only in part
    ("dna_flux", "case2"),
]
SLOW = [
    ("flowedit_flux", "case1"),
    ("flowedit_flux", "case3"),
    ("rfinv", "case1"),
    ("rfinv", "case3"),
    ("euler_flux", "case1"),
    ("euler_flux", "case2"),
    ("dna_flux", "case1"),
    ("dna_flux_mvg1", "case1"),
]


@dataclass
class Edit:
    """An edit beside its recording; ``calls``: time, latents and output of each call of the transformer."""

    recording: Any
    combination: Combination
    final: torch.Tensor
    image: np.ndarray
    inputs: Any
    schedule: Any
    inverted: Any
    rows: int
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]

    @property
    def name(self):
        return self.combination.inversion

    def unpacked(self, tokens):
        """As latents, if it is packed."""
        tokens = torch.from_numpy(tokens)
        grid = tuple(side // 2 for side in self.inputs.latents.shape[-2:])
        return tokens if tokens.dim() == 4 else unpacked(tokens, grid, 2)


@pytest.fixture(scope="module")
def model(golden_flow):
    return load_model(str(golden_flow / "tiny-flux"))


def read_in_multiples(file):
    """As RF-Inversion's recordings have pictures: resized to multiples of 16."""
    picture = Image.fromarray(read_image(file))
    size = tuple(side // 16 * 16 for side in picture.size)
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS))


def how(name):
    return {"read": read_in_multiples} if name.startswith("rfinv") else {}


@pytest.fixture(
    scope="module",
    params=[*FAST, *(pytest.param(pair, marks=pytest.mark.slow) for pair in SLOW)],
    ids="-".join,
)
def edit(request, golden_flow, model):
    name, case = request.param
    recipe, fewer, overrides, folder = RECORDED[name]
    folder, overrides = (
        request.getfixturevalue(folder),
        {"model": str(golden_flow / "tiny-flux"), **overrides},
    )
    built = shipped(recipe, fewer | overrides) if recipe else build_recipe(EULER, overrides, "test")
    combination = built.combination(*built.pairs[0])
    sample = load_flow_case(folder, case)
    model.cache = Cache({})
    with recorded_calls(model) as calls:
        (result,) = edit_batch(model, [sample], combination, **how(name))
    common, rows = combination.common, model.evaluations.forward[0]
    options = {"loader": common.image_loader, "posterior": common.posterior, "seed": common.seed, **how(name)}
    prompts = [METHODS.get(combination.method).prompts(sample, combination.method_settings)]
    inputs = encode_inputs(model, [sample], 0, prompts, guidance=plan_guidance(model, common), **options)
    schedule = plan_schedule(model, common, tuple(inputs.latents.shape[-2:]))
    inverted = INVERSIONS.get(combination.inversion).invert(
        model, inputs, schedule, combination.inversion_settings
    )
    recording = recording_of(folder, name, case)
    final = result.latents[None]
    return Edit(recording, combination, final, result.image, inputs, schedule, inverted, rows, calls)


def strided(latents):
    """Every 16th token of packed latents, step by step."""
    return torch.cat([packed(each, 2) for each in latents])[:, ::16]


def test_edited_latents(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)


def test_edited_picture(edit):
    check_picture(edit.image, edit.recording, GREY_LEVELS, OTHER_VALUES)


def test_picture_and_schedule(edit):
    near(edit.inputs.latents, edit.unpacked(edit.recording["z0"]), INVERTED)
    near(edit.schedule.sigmas[::-1], edit.recording["sigmas"], SIGMAS)
    near(edit.schedule.timesteps[::-1], edit.recording["timesteps"], TIMESTEPS)


def test_drawn_noise_is_the_published_codes(edit, golden_flow):
    """Of packed latents, in their order; RF-Inversion's is the second draw, after the posterior's."""
    recorded = {"rf_inversion": "y1", "dnaedit": "noise"}.get(edit.name)
    if recorded in edit.recording:
        (found,) = drawn_noise(edit.inputs, 1)
        np.testing.assert_array_equal(found, edit.unpacked(edit.recording[recorded]))
    elif "edit_noise" in edit.recording:  # of the SDE's steps, after the inversion's
        found = drawn_noise(edit.inputs, 1 + edit.inverted.steps)
        np.testing.assert_array_equal(found[1:, 0], edit.unpacked(edit.recording["edit_noise"]))
    elif edit.name == "flowedit":
        case = {256: "case1", 320: "case2", 374: "case3"}[packed(edit.inputs.latents, 2).shape[1]]
        noise = np.load(golden_flow / "npz" / f"noise_flux__{case}.npz")["noise"]
        found = drawn_noise(edit.inputs, len(noise))
        np.testing.assert_array_equal(found[:, 0], edit.unpacked(noise))


def test_inverted_latents(edit):
    """FlowEdit inverts nothing."""
    wanted = {"euler": "xT", "dnaedit": "inverted", "rf_inversion": "inverted_latent"}.get(edit.name)
    if wanted is None:
        assert edit.inverted.source_mode == "fixed"
    else:
        near(edit.inverted.trajectory[-1], edit.unpacked(edit.recording[wanted]), INVERTED)
    if "inv_traj_strided" in edit.recording:
        near(strided(edit.inverted.trajectory), edit.recording["inv_traj_strided"], BETWEEN)


def test_velocities_and_times(edit):
    """Of the source in the inversion, and of the target in the edit."""
    outputs, recording = [output for _, _, output in edit.calls], edit.recording
    times, steps = [time for time, _, _ in edit.calls], edit.inverted.steps
    if edit.name == "flowedit":
        differing = len(recording["v_tar_strided"])
        # The source's steps are found from the picture upwards, their draws in the published order.
        n_avg = edit.combination.inversion_settings.n_avg
        of_source = strided(outputs[:differing]).unflatten(0, (-1, n_avg)).flip(0).flatten(0, 1)
        near(of_source, recording["v_src_strided"], BETWEEN)
        near(strided(outputs[differing : 2 * differing]), recording["v_tar_strided"], BETWEEN)
        if "xt_v_tar_strided" in recording:
            near(strided(outputs[2 * differing :]), recording["xt_v_tar_strided"], BETWEEN)
    elif edit.name == "dnaedit":
        near(strided(outputs[:steps]), recording["inv_v_strided"], BETWEEN)
        near(strided(outputs[steps:]), recording["edit_v_cond_strided"], BETWEEN)
        near(times, 1000 * np.concatenate([recording["inv_t"], recording["edit_t"]]), TIMESTEPS)
    elif edit.name == "rf_inversion":
        near(strided(outputs[:steps]), recording["inv_v_strided"], BETWEEN)
        near(strided(outputs[steps:]), recording["edit_v_strided"], BETWEEN)
        near(times, 1000 * np.concatenate([recording["inv_model_t"], recording["edit_model_t"]]), TIMESTEPS)
    else:
        found = [latents for _, latents, _ in edit.calls[steps:]]
        near(strided([*found, edit.final]), recording["edit_traj_strided"], BETWEEN)


def test_evaluations_are_the_published_codes(edit):
    """Euler's recording has a reconstruction besides."""
    assert edit.rows == sum(len(latents) for _, latents, _ in edit.calls)
    recorded = edit.recording.get("transformer_rows", edit.recording.get("rows"))
    assert edit.rows == recorded - (12 if edit.name == "euler" else 0)


@pytest.mark.parametrize(
    "case", ["case2", *(pytest.param(c, marks=pytest.mark.slow) for c in ("case1", "case3"))]
)
def test_reconstruction_and_the_other_time_of_the_inversion(model, golden_flow, case):
    """Sampling back from Euler's latent; evaluating at the level that a step leads to."""
    recording = np.load(golden_flow / "npz" / f"euler_flux__{case}.npz")
    recipe = build_recipe(EULER, {"model": str(golden_flow / "tiny-flux"), "guidance": 1}, "test")
    common = recipe.combination("euler", "plain").common
    sample = load_flow_case(golden_flow, case)
    guidance = plan_guidance(model, common)
    inputs = encode_inputs(model, [sample], 0, None, common.image_loader, guidance)
    schedule = plan_schedule(model, common, tuple(inputs.latents.shape[-2:]))
    entry, texts = INVERSIONS.get("euler"), (inputs.source_embeds, inputs.uncond_embeds)
    for way, suffix in (("own", ""), ("next", "_next_strided")):
        inverted = entry.invert(model, inputs, schedule, entry.settings(evaluate_at=way))
        again = sample_ode(model, inverted.trajectory[-1], *texts, schedule, guidance)
        if way == "own":
            near(packed(inverted.trajectory[-1], 2), recording["xT"], INVERTED)
            near(again[0], recording["recon_latent"], FINAL_MAX)
            near(strided(again.flip(0)), recording["recon_traj_strided"], BETWEEN)
        else:
            near(strided(inverted.trajectory[-1:]), recording["xT" + suffix], INVERTED)
            near(strided(again[:1]), recording["recon" + suffix], FINAL_MAX)
