"""The inversions besides DDIM and Direct, against the reference implementation's recordings."""

import numpy as np
import pytest
import torch

from piebench_eval.backbone.evaluations import UNetTally
from piebench_eval.diffusion.edit_loop import edit
from piebench_eval.diffusion.schedule import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.inversions.null_text import NullTextSettings, SourceStep, optimise_step
from piebench_eval.methods import METHODS
from piebench_eval.runs.edit import encode_inputs
from tests.golden.test_reference_edits import (
    CASES,
    FINAL_MAX,
    FINAL_RMS,
    STEPS,
    TRAJECTORY_TOLERANCE,
    load_case,
)

pytestmark = pytest.mark.golden

# The reference's own copy of Prompt-to-Prompt beside edit-friendly inversion.
EDIT_FRIENDLY_P2P = {
    "controller": "auto",
    "local_blend": False,
    "blend_word_weight": 1,
    "self_replace_downsampling": 4,
}


def edited(reference, sample, inversion, inputs, **settings):
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    entry, method = INVERSIONS.get(inversion), METHODS.get("p2p")
    reference.tally = UNetTally()
    path = entry.invert(reference, inputs, schedule, entry.settings())
    control = method.prepare([sample], reference, STEPS, method.settings(**settings)).control
    return path, edit(reference, inputs, path, control, schedule, 7.5)


def check_final(final, recording, largest=FINAL_MAX, rms=FINAL_RMS):
    error = np.abs(final.numpy() - recording["final_latent"])
    assert error.max() <= largest
    assert np.sqrt((error**2).mean()) <= rms


@pytest.mark.parametrize("case", CASES)
def test_negative_prompt(golden, reference, case):
    recording = np.load(golden / "npz" / f"negative-prompt-inversion+p2p__{case}.npz")
    sample = load_case(golden, case)
    _, final = edited(reference, sample, "negative_prompt", encode_inputs(reference, [sample], 512))
    check_final(final, recording)


@pytest.mark.parametrize("case", CASES)
def test_edit_friendly(golden, reference, case):
    recording = np.load(golden / "npz" / f"edit-friendly-inversion+p2p__{case}.npz")
    sample = load_case(golden, case)
    inputs = encode_inputs(reference, [sample], 512)
    path, final = edited(reference, sample, "edit_friendly", inputs, **EDIT_FRIENDLY_P2P)
    assert path.steps == STEPS - 2
    found, expected = path.trajectory[1:, 0], recording["xts"][1 : path.steps + 1]
    np.testing.assert_allclose(found, expected, atol=TRAJECTORY_TOLERANCE, rtol=0)
    np.testing.assert_array_equal(recording["xT"], expected[-1])
    check_final(final, recording)
    assert reference.tally.forward[0] <= 3 * STEPS


@pytest.mark.parametrize("case", CASES)
def test_null_text(golden, reference, case):
    recording = np.load(golden / "npz" / f"null-text-inversion+p2p__{case}.npz")
    sample = load_case(golden, case)
    _, final = edited(reference, sample, "null_text", encode_inputs(reference, [sample], 512))
    # Wider than elsewhere: Adam turns the sign of a tiny gradient, which is noise, into a whole step.
    check_final(final, recording, largest=1e-2, rms=1e-3)
    assert reference.tally.backward[0] == recording["null_n_inner"].sum()


def test_null_text_stops_early(golden, reference):
    """Each step from the reference's own state: the first loss is 1e-11, and Adam makes noise of it."""
    recording = np.load(golden / "extra" / "null_text_early_stop.npz")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    trajectory = torch.from_numpy(recording["trajectory"])[:, None]
    cond_text = torch.from_numpy(recording["cond"])
    embeddings, latents = torch.from_numpy(recording["uncond_init"]), trajectory[-1]
    for index, expected in enumerate(recording["n_inner"]):
        level = STEPS - index
        with torch.no_grad():
            cond = reference.predict_noise(latents, schedule.timesteps[level - 1], cond_text, [0])
        step = SourceStep(reference, latents, cond, schedule, level, guidance=7.5)
        reference.tally = UNetTally()
        optimise_step(step, embeddings, trajectory[level - 1], index, NullTextSettings())
        assert abs(reference.tally.backward[0] - int(expected)) <= 1
        embeddings = torch.from_numpy(recording["uncond_embeddings"][index])[None]
        with torch.no_grad():
            latents = step.guided(embeddings, [0])
