"""Same weights, same pictures: the numbers of EDICT, plainly and with Prompt-to-Prompt, by its recipe."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.words import block_alignment, padded_token_ids
from piebench_eval.inversions import INVERSIONS
from piebench_eval.recipes.combination import Combination
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from tests.golden.recordings import CASES, STEPS, check_final, check_picture, load_case, near, recorded_calls
from tests.support.recipes import shipped

pytestmark = [pytest.mark.golden, pytest.mark.slow]

# The recordings' own recommendation.
FINAL_MAX, FINAL_RMS, Z0, START = 1e-3, 1e-4, 5e-5, 2e-4
METHODS = {"plain": "edict+direct_forward.float32", "p2p": "edict+p2p.float32"}
TAKEN = 8


@dataclass
class Edit:
    """An edit beside its recording; ``calls``: time, latents and output of each call of the UNet."""

    recording: Any
    combination: Combination
    sample: Any
    final: torch.Tensor
    image: np.ndarray
    rows: int
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]

    @property
    def is_p2p(self):
        return self.combination.method == "p2p"


@pytest.fixture(scope="module", params=[(method, case) for case in CASES for method in METHODS], ids="-".join)
def edit(request, golden, golden_paper_rest, reference):
    method, case = request.param
    recording = np.load(golden_paper_rest / "npz" / f"{METHODS[method]}__{case}.npz")
    sample = load_case(golden, case)
    combination = shipped("edict", {"model": str(golden / "tiny-sd"), "steps": STEPS}).combination(
        "edict", method
    )
    with recorded_calls(reference) as calls:
        (edited,) = edit_batch(reference, [sample], combination)
    return Edit(recording, combination, sample, edited.latents[None], edited.image, edited.nfe_forward, calls)


def test_edited_latents_and_picture(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)
    check_picture(edit.image, edit.recording, 1, 0.99)


def test_inverted_pairs(edit, reference):
    """From the cache: the same for both methods."""
    common = edit.combination.common
    inputs = encode_inputs(
        reference,
        [edit.sample],
        512,
        guidance=plan_guidance(reference, common),
        seed=common.seed,
        posterior=common.posterior,
    )
    near(inputs.latents, edit.recording["z0"], Z0)
    schedule = plan_schedule(reference, common)
    invert = INVERSIONS.get("edict").invert
    inverted = invert(reference, inputs, schedule, edit.combination.inversion_settings)
    pairs = inverted.trajectory.unflatten(2, (2, 4))[:, 0]
    near(pairs[-1], edit.recording["xT_pair"], START)
    near(pairs[..., ::8, ::8], edit.recording["inv_pairs_strided"], START)


def test_every_evaluation_of_the_edit(edit):
    """The guided noise predictions of each half of a step."""
    of_edit = edit.calls[-2 * TAKEN :]
    assert [time for time, _, _ in of_edit] == edit.recording["eps_timesteps"][-2 * TAKEN :].tolist()
    # The target's rows come last, behind the source's, if that goes to the output.
    outputs = [output[-2:] for _, _, output in of_edit]
    guided = torch.stack([uncond + 3 * (cond - uncond) for uncond, cond in outputs])
    near(guided[:, None, :, ::8, ::8], edit.recording["eps_strided"][-2 * TAKEN :], 3e-4)


def test_float64_recordings(edit, golden_paper_rest):
    """The published code computes in float64; here the weights are float32, and the pair is float64."""
    file = golden_paper_rest / "npz" / f"edict+direct_forward.float64__{edit.sample.id}.npz"
    if edit.is_p2p or not file.exists():
        pytest.skip("not recorded in float64")
    check_final(edit.final, np.load(file), FINAL_MAX, FINAL_RMS)


@pytest.mark.parametrize(("guidance", "strength"), [(3.0, 0.8), (7.0, 1.0)])
def test_the_source_prompt_reconstructs_the_picture(golden, reference, guidance, strength):
    """In as many steps as published, also by the guidance and strength of its reconstructions."""
    sample = load_case(golden, CASES[0])
    overrides = {
        "model": str(golden / "tiny-sd"),
        "resolution": 128,
        "guidance": guidance,
        "inversion.strength": strength,
    }
    combination = shipped("edict", overrides).combination("edict", "plain")
    same = replace(sample, marked_target_prompt=sample.marked_source_prompt)
    (edited,) = edit_batch(reference, [same], combination)
    common = combination.common
    wanted = encode_inputs(reference, [same], 128, seed=common.seed, posterior=common.posterior).latents[0]
    assert (edited.latents - wanted).norm() < 1e-5 * wanted.norm()


def test_words_are_aligned_as_recorded(edit, reference):
    if not edit.is_p2p:
        pytest.skip("aligns nothing")
    prompts = edit.sample.source_prompt, edit.sample.target_prompt
    mapper, aligned = block_alignment(*(padded_token_ids(text, reference.tokenizer) for text in prompts))
    np.testing.assert_array_equal(aligned, edit.recording["align_mask"])
    np.testing.assert_array_equal(np.maximum(mapper, 0), edit.recording["align_indices"])


def test_it_takes_as_many_evaluations_as_the_published_code_needs(edit):
    assert edit.rows == edit.recording["rows_forward"] == TAKEN * (4 + (6 if edit.is_p2p else 4))
