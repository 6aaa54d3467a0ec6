"""Stable Diffusion 3: the numbers of FlowEdit's, FlowAlign's and DNAEdit's codes, by the package's recipes.

Euler's inversion is here as well, which has none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
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

# Fewer steps than the recipes have.
FLOWEDIT = ("flowedit-sd3", {"steps": 12, "inversion.n_max": 8})
DNAEDIT = ("dnaedit-sd3", {"steps": 12, "inversion.skip": 4})
FLOWALIGN = ("flowalign-sd3", {"steps": 12, "resolution": 256})
EULER = {
    "steps": 12,
    "guidance": 7,
    "image_loader": "crop_to_multiple",
    "grey_levels": "round",
    "inversions": {"euler": {"evaluate_at": "own"}},
    "methods": ["plain"],
}
RECORDED = {
    # name: a recipe of the package with other settings, and the recording's folder
    "flowedit_sd3": (*FLOWEDIT, {}, "golden_flow"),
    "flowedit_sd3_navg2": (*FLOWEDIT, {"inversion.n_avg": 2}, "golden_flow"),
    "flowedit_sd3_nmin3": (*FLOWEDIT, {"inversion.n_min": 3}, "golden_flow"),
    "euler_sd3": (None, {}, {}, "golden_flow"),
    "dna_sd3": (*DNAEDIT, {}, "golden_flow_c"),
    "dna_sd3_srccfg": (*DNAEDIT, {"source_guidance": 2}, "golden_flow_c"),
    "flowalign": (*FLOWALIGN, {}, "golden_flow_c"),
    "flowalign_cfg7": (*FLOWALIGN, {"guidance": 7}, "golden_flow_c"),
}
FAST = [
    ("flowedit_sd3", "case2"),  # the picture is cropped
    ("flowedit_sd3_navg2", "case1"),
    ("flowedit_sd3_nmin3", "case2"),
    ("euler_sd3", "case3"),  # an odd number of rows, and prompts that CLIP reads only in part
    ("dna_sd3", "case2"),
    ("dna_sd3_srccfg", "case1"),
    ("flowalign", "case2"),  # the picture is squeezed into a square
]
SLOW = [
    ("flowedit_sd3", "case1"),
    ("flowedit_sd3", "case3"),
    ("euler_sd3", "case1"),
    ("euler_sd3", "case2"),
    ("dna_sd3", "case1"),
    ("flowalign", "case1"),
    ("flowalign_cfg7", "case1"),
]


@dataclass
class Edit:
    """An edit beside its recording; ``calls``: time and output of each call of the transformer."""

    recording: Any
    combination: Combination
    model: Any
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


@pytest.fixture(scope="module")
def model(golden_flow):
    return load_model(str(golden_flow / "tiny-sd3"))


@pytest.fixture(scope="module")
def short_model(golden_flow):
    """With as many of T5's tokens as of CLIP's."""
    return load_model(str(golden_flow / "tiny-sd3"), t5_length=77)


@pytest.fixture(
    scope="module",
    params=[*FAST, *(pytest.param(pair, marks=pytest.mark.slow) for pair in SLOW)],
    ids="-".join,
)
def edit(request, golden_flow):
    name, case = request.param
    recipe, fewer, overrides, folder = RECORDED[name]
    model = request.getfixturevalue("short_model" if recipe == "flowalign-sd3" else "model")
    folder, overrides = request.getfixturevalue(folder), {"model": str(golden_flow / "tiny-sd3"), **overrides}
    built = shipped(recipe, fewer | overrides) if recipe else build_recipe(EULER, overrides, "test")
    combination = built.combination(*built.pairs[0])
    sample = load_flow_case(folder, case)
    model.cache = Cache({})
    with recorded_calls(model) as calls:
        (result,) = edit_batch(model, [sample], combination)
    common, schedule = combination.common, plan_schedule(model, combination.common)
    rows = model.evaluations.forward[0]
    how = {"loader": common.image_loader, "posterior": common.posterior, "seed": common.seed}
    inputs = encode_inputs(model, [sample], common.resolution, guidance=plan_guidance(model, common), **how)
    inverted = INVERSIONS.get(combination.inversion).invert(
        model, inputs, schedule, combination.inversion_settings
    )
    recording = recording_of(folder, name, case)
    final = result.latents[None]
    return Edit(recording, combination, model, final, result.image, inputs, schedule, inverted, rows, calls)


def strided(latents):
    return torch.stack(list(latents)).squeeze(1)[..., ::4, ::4]


def test_edited_latents(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)


def test_edited_picture(edit):
    """FlowAlign's is in test_pictures.py."""
    if {"edited_image", "edited_image_crop"} & set(edit.recording):
        check_picture(edit.image, edit.recording, GREY_LEVELS, OTHER_VALUES)
    else:
        assert edit.name == "flow_align"


def test_picture_and_schedule(edit):
    near(edit.inputs.latents, edit.recording["z0"], INVERTED)
    near(edit.schedule.sigmas[::-1], edit.recording["sigmas"], SIGMAS)
    near(edit.schedule.timesteps[::-1], edit.recording["timesteps"], TIMESTEPS)


def test_inverted_latents(edit):
    """Euler's, and DNAEdit's with the aligned noise; FlowEdit inverts nothing."""
    wanted = {"euler": "xT", "dnaedit": "inverted"}.get(edit.name)
    if wanted is None:
        assert edit.inverted.source_mode == "fixed"
    else:
        near(edit.inverted.trajectory[-1], edit.recording[wanted], INVERTED)


def test_velocities_after_guidance(edit):
    """Of the source in the inversion, and of the target in the edit."""
    recording, guidance = edit.recording, edit.inputs.guidance
    of_target = [output for _, latents, output in edit.calls if len(latents) == 2]
    guided = [uncond + guidance.target * (cond - uncond) for uncond, cond in of_target]
    if edit.name == "flowedit":
        # FlowEdit's n_min steps are recorded apart, with the target's velocity alone.
        differing = len(recording["v_tar_strided"])
        near(strided(v[None] for v in guided[:differing]), recording["v_tar_strided"], BETWEEN)
        if len(guided) > differing:
            near(strided(v[None] for v in guided[differing:]), recording["xt_v_tar_strided"], BETWEEN)
    elif edit.name == "dnaedit":
        near(strided(cond[None] for _, cond in of_target), recording["edit_v_cond_strided"], BETWEEN)
        near(strided(uncond[None] for uncond, _ in of_target), recording["edit_v_uncond_strided"], BETWEEN)
        near([time for time, latents, _ in edit.calls if len(latents) == 2], recording["edit_t"], TIMESTEPS)
    elif edit.name == "flow_align":
        of_source = [output for _, latents, output in edit.calls if len(latents) == 1]
        near(strided(of_source[::-1]), recording["v_src_strided"], BETWEEN)
        near(strided(cond[None] for _, cond in of_target), recording["v_tar_strided"], BETWEEN)
        near(strided(uncond[None] for uncond, _ in of_target), recording["v_neg_strided"], BETWEEN)
    else:
        near(strided(edit.inverted.trajectory), recording["inv_traj_strided"], BETWEEN)
        assert len(of_target) == edit.inverted.steps


def test_evaluations_beside_the_published_codes(edit):
    """FlowEdit's script computes four rows in each step of each edit, half of them of the source.

    Those are found once for all target prompts of a picture. In its n_min steps, two rows of four are unread.
    """
    assert edit.rows == sum(len(latents) for _, latents, _ in edit.calls)
    if edit.name == "flowedit":
        settings = edit.combination.inversion_settings
        assert edit.recording["transformer_rows"] - edit.rows == 2 * settings.n_min
        of_source = 2 * (8 - settings.n_min) * settings.n_avg
        assert edit.inverted.offsets is not None  # found again, by nothing new
        assert edit.model.evaluations.reused[0] == of_source
        assert edit.rows - of_source == of_source + 2 * settings.n_min
    elif edit.name == "dnaedit":
        # The script computes an unguided source twice.
        duplicates = edit.inverted.steps if edit.inputs.guidance.of_source == 1 else 0
        assert edit.recording["rows"] - edit.rows == duplicates
    else:
        assert edit.rows == 12 + 2 * 12  # FlowAlign's are three single rows per step, too
        assert edit.name == "euler" or edit.recording["rows"] == edit.rows


@pytest.mark.parametrize(
    "case", ["case2", *(pytest.param(c, marks=pytest.mark.slow) for c in ("case1", "case3"))]
)
def test_reconstruction_by_diffusers_pipeline_and_the_other_time_of_the_inversion(model, golden_flow, case):
    """Sampling back from Euler's latent without guidance; evaluating at the level that a step leads to."""
    recording = np.load(golden_flow / "npz" / f"euler_sd3__{case}.npz")
    recipe = build_recipe(EULER, {"model": str(golden_flow / "tiny-sd3")}, "test")
    combination = recipe.combination("euler", "plain")
    common, schedule = combination.common, plan_schedule(model, combination.common)
    sample = load_flow_case(golden_flow, case)
    inputs = encode_inputs(model, [sample], common.resolution, None, common.image_loader)
    entry, texts = INVERSIONS.get("euler"), (inputs.source_embeds, inputs.uncond_embeds)
    for way, suffix in (("own", ""), ("next", "_next_strided")):
        inverted = entry.invert(model, inputs, schedule, entry.settings(evaluate_at=way))
        again = sample_ode(model, inverted.trajectory[-1], *texts, schedule)
        step = 4 if suffix else 1
        near(inverted.trajectory[-1][..., ::step, ::step], recording["xT" + suffix], INVERTED)
        wanted = recording["recon_latent" if way == "own" else "recon_next_strided"]
        near(again[0][..., ::step, ::step], wanted, FINAL_MAX)
        if way == "own":
            near(strided(again.flip(0)), recording["recon_traj_strided"], BETWEEN)
