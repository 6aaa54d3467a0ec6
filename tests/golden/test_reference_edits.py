"""Same weights, same inputs: the reference implementation's numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from piebench_eval.backbone.evaluations import UNetTally
from piebench_eval.bench.sample import Sample
from piebench_eval.diffusion import words
from piebench_eval.diffusion.edit_loop import edit
from piebench_eval.diffusion.schedule import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.methods.p2p import P2PSettings
from piebench_eval.runs.edit import encode_inputs
from tests.support.plain import plain_edit

pytestmark = pytest.mark.golden
STEPS = 10
CASES = ["case1_cake", "case2_cat", "case3_astronaut"]
REFERENCE_NAMES = {"ddim": "ddim+p2p", "direct": "directinversion+p2p"}

# The recordings' own recommendation: about 20 times the rounding error of the encoded picture.
TRAJECTORY_TOLERANCE = 5e-5
FINAL_MAX, FINAL_RMS = 2e-3, 2e-4
GREY_LEVELS, SHARE_OF_VALUES = 1, 0.99


def load_case(golden: Path, case: str) -> Sample:
    about = json.loads((golden / "cases.json").read_text())[case]
    file = golden / about["image"]
    prompts = about["source_prompt"], about["target_prompt"]
    return Sample(case, about["image"], file, *prompts, "", "0", about["blended_word"], ())


def check(sample, recording, reference, inversion, settings):
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    assert list(schedule.timesteps[::-1]) == recording["timesteps"].tolist()
    inputs = encode_inputs(reference, [sample], 512)
    entry, method = INVERSIONS.get(inversion), METHODS.get("p2p")
    path = entry.invert(reference, inputs, schedule, settings)
    np.testing.assert_allclose(inputs.latents, recording["z0"], atol=TRAJECTORY_TOLERANCE, rtol=0)
    np.testing.assert_allclose(
        path.trajectory[:, 0, :, ::8, ::8],
        recording["inv_latents_strided"],
        atol=TRAJECTORY_TOLERANCE,
        rtol=0,
    )
    np.testing.assert_allclose(path.trajectory[-1], recording["xT"], atol=TRAJECTORY_TOLERANCE, rtol=0)
    control = method.prepare([sample], reference, STEPS, method.settings()).control
    final = edit(reference, inputs, path, control, schedule, 7.5)
    error = np.abs(final.numpy() - recording["final_latent"])
    assert error.max() <= FINAL_MAX
    assert np.sqrt((error**2).mean()) <= FINAL_RMS
    return final


@pytest.mark.parametrize("inversion", ["ddim", "direct"])
@pytest.mark.parametrize("case", CASES)
def test_edit(golden, reference, inversion, case):
    recording = np.load(golden / "npz" / f"{REFERENCE_NAMES[inversion]}__{case}.npz")
    sample = load_case(golden, case)
    reference.tally = UNetTally()
    final = check(sample, recording, reference, inversion, INVERSIONS.get(inversion).settings())
    assert reference.tally.forward[0] <= {"ddim": 5, "direct": 4}[inversion] * STEPS
    image = reference.decode_latents(final)[0].astype(int)
    if "edited_image" in recording:
        expected = recording["edited_image"].astype(int)
    else:
        image, expected = image[128:384, 128:384], recording["edited_image_crop"].astype(int)
    assert (np.abs(image - expected) <= GREY_LEVELS).mean() >= SHARE_OF_VALUES


def test_guided_inversion(golden, reference):
    """The paper's guidance ablation: inversion at 2.5, editing at 7.5."""
    recording = np.load(golden / "npz" / "directinversion+p2p_guidance_25_75__case3_astronaut.npz")
    settings = INVERSIONS.get("direct").settings(guidance=2.5)
    check(load_case(golden, "case3_astronaut"), recording, reference, "direct", settings)


def test_the_plain_implementation(golden, reference):
    """The second opinion that the small tests and the own golden set rest on."""
    recording = np.load(golden / "npz" / "directinversion+p2p__case1_cake.npz")
    sample = load_case(golden, "case1_cake")
    schedule = ddim_schedule(reference.alphas_cumprod, STEPS)
    latents = encode_inputs(reference, [sample], 512).latents
    final = plain_edit(reference, schedule, sample, latents, "direct", P2PSettings())
    error = np.abs(final.numpy() - recording["final_latent"])
    assert error.max() <= FINAL_MAX
    assert np.sqrt((error**2).mean()) <= FINAL_RMS


@pytest.mark.parametrize("case", CASES)
def test_refinement_alignment(golden, reference, case):
    recording = np.load(golden / "npz" / f"ddim+p2p__{case}.npz")
    sample, tokenizer = load_case(golden, case), reference.tokenizer
    ids = [words.token_ids(prompt, tokenizer) for prompt in (sample.source_prompt, sample.target_prompt)]
    mapper, taken = words.refinement_alignment(*ids, 77)
    np.testing.assert_array_equal(mapper, recording["mapper"])
    np.testing.assert_array_equal(taken, recording["alphas"])


@pytest.mark.parametrize("case", CASES)
def test_replacement_matrix(golden, reference, case):
    recording = np.load(golden / "npz" / f"edit-friendly-inversion+p2p__{case}.npz")
    if str(recording["controller"]) != "AttentionReplace":
        pytest.skip("the reference aligned this case by refinement")
    sample = load_case(golden, case)
    matrix = words.replacement_matrix(sample.source_prompt, sample.target_prompt, reference.tokenizer)
    np.testing.assert_array_equal(matrix, recording["mapper"])


def test_blend_mask(golden, reference, monkeypatch):
    """Case 1 is the one whose mask is a part of the picture."""
    from piebench_eval.diffusion.local_blend import LocalBlend

    masks = []
    blend = LocalBlend.blend

    def recording_blend(self, step, source, target):
        if step >= self.start_step:
            masks.append(self.masks(*target.shape[-2:]).any(dim=1)[0].numpy())
        return blend(self, step, source, target)

    monkeypatch.setattr(LocalBlend, "blend", recording_blend)
    recording = np.load(golden / "npz" / "directinversion+p2p__case1_cake.npz")
    sample = load_case(golden, "case1_cake")
    check(sample, recording, reference, "direct", INVERSIONS.get("direct").settings())
    expected = np.unpackbits(recording["blend_mask"], axis=-1).astype(bool)
    assert 0 < expected.mean() < 1
    assert (np.stack(masks) != expected).sum() <= 2


def test_text_embeddings_are_padded_and_truncated(reference):
    embeddings = reference.embed_prompts(["", "a cat", "a cat " * 100])
    assert embeddings.shape == (3, 77, 32)
    assert torch.isfinite(embeddings).all()
