"""Same weights, same pictures: the numbers of Pix2Pix-Zero after DDIM and Direct Inversion, by its recipe."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods import METHODS
from piebench_eval.recipes.combination import Combination
from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.edit_inputs import plan_guidance, plan_schedule
from tests.golden.recordings import CASES, STEPS, check_final, check_picture, load_case, near, recorded_calls
from tests.support.recipes import shipped

pytestmark = [pytest.mark.golden, pytest.mark.slow]

# The recordings' own recommendation.
FINAL_MAX, FINAL_RMS, Z0, START, BETWEEN = 3e-3, 5e-4, 5e-5, 2e-4, 2e-3
NAMES = {"ddim": "ddim", "direct": "directinversion"}


@dataclass
class Edit:
    """An edit beside its recording; ``calls``: time, latents and output of each call of the UNet."""

    recording: Any
    combination: Combination
    sample: Any
    final: torch.Tensor
    image: np.ndarray
    rows: tuple[int, int]
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module", params=[(name, case) for case in CASES for name in NAMES], ids="-".join)
def edit(request, golden, golden_paper_rest, reference):
    inversion, case = request.param
    recording = np.load(golden_paper_rest / "npz" / f"{NAMES[inversion]}+pix2pix-zero__{case}.npz")
    sample = load_case(golden, case)
    overrides = {
        "model": str(golden / "tiny-sd"),
        "steps": STEPS,
        "method.caption": str(recording["caption"]),
    }
    combination = shipped("pix2pix-zero", overrides).combination(inversion, "pix2pix_zero")
    with recorded_calls(reference) as calls:
        (edited,) = edit_batch(reference, [sample], combination)
    rows = edited.nfe_forward, edited.nfe_backward
    return Edit(recording, combination, sample, edited.latents[None], edited.image, rows, calls)


def test_edited_latents_and_picture(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)
    check_picture(edit.image, edit.recording, 1, 0.99)


def test_inverted_latents(edit, reference):
    """From the cache: the same after both inversions."""
    common, method = edit.combination.common, METHODS.get("pix2pix_zero")
    texts = [method.prompts(edit.sample, edit.combination.method_settings)]
    guidance = plan_guidance(reference, common)
    how = {"guidance": guidance, "seed": common.seed, "posterior": common.posterior}
    inputs = encode_inputs(reference, [edit.sample], 512, texts, common.image_loader, **how)
    near(inputs.latents, edit.recording["z0"], Z0)
    invert = INVERSIONS.get(edit.combination.inversion).invert
    schedule = plan_schedule(reference, common)
    inverted = invert(reference, inputs, schedule, edit.combination.inversion_settings)
    near(inverted.trajectory[-1], edit.recording["xT"], START)
    near(inverted.trajectory[..., ::8, ::8], edit.recording["inv_latents_strided"], START)
    if inverted.offsets is not None:
        recorded = edit.recording["noise_loss_strided"]
        near(inverted.offsets.flip(0)[..., ::8, ::8], recorded, START)


def test_every_step(edit):
    """Both rows are moved by the gradient, and their guided noise is that of the recording."""
    of_edit = [(latents.detach(), output.detach()) for _, latents, output in edit.calls[-3 * STEPS :]]
    at = torch.stack([latents for latents, _ in of_edit[1::3]])
    moved = torch.stack([latents for latents, _ in of_edit[2::3]])
    near((moved - at)[..., ::8, ::8], edit.recording["x_in_update_strided"], BETWEEN)
    assert (moved - at)[0, 0].abs().max() < 1e-5
    outputs = torch.stack([output for _, output in of_edit[2::3]])
    guided = outputs[:, :1] + 7.5 * (outputs[:, 1:] - outputs[:, :1])
    near(guided[..., ::8, ::8], edit.recording["edit_eps_guided_strided"], BETWEEN)


def test_it_takes_fewer_evaluations_than_the_published_code(edit):
    forward, backward = edit.rows
    offsets = STEPS if edit.combination.inversion == "direct" else 0
    assert (forward, backward) == (STEPS * 6 + offsets, STEPS * 2)
    assert forward <= edit.recording["rows_forward"] and backward == edit.recording["rows_backward"]
