"""Same weights, same pictures: the numbers of blended latent diffusion, by its recipe."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from piebench_eval.runs.batch_editing import edit_batch, encode_inputs
from piebench_eval.runs.latent_masks import latent_masks
from tests.golden.recordings import CASES, STEPS, check_final, check_picture, load_case, near, recorded_calls
from tests.support.recipes import shipped

pytestmark = [pytest.mark.golden, pytest.mark.slow]

# The recordings' own recommendation.
FINAL_MAX, FINAL_RMS, Z0, BETWEEN = 1e-3, 1e-4, 5e-5, 3e-4


@dataclass
class Edit:
    """An edit beside its recording; ``calls``: time, latents and output of each call of the UNet."""

    recording: Any
    combination: Any
    sample: Any
    final: torch.Tensor
    image: np.ndarray
    rows: int
    calls: list[tuple[float, torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module", params=CASES)
def edit(request, golden, golden_paper_rest, reference):
    recording = np.load(golden_paper_rest / "npz" / f"blended-latent-diffusion__{request.param}.npz")
    mask = tuple(recording["encoded_mask"].tolist())
    sample = replace(load_case(golden, request.param), mask_rle=mask)
    recipe = shipped("blended-latent-diffusion", {"model": str(golden / "tiny-sd"), "steps": STEPS})
    combination = recipe.combination("", "blended_latent_diffusion")
    with recorded_calls(reference) as calls:
        (edited,) = edit_batch(reference, [sample], combination)
    final = edited.latents[None]
    return Edit(recording, combination, sample, final, edited.image, edited.nfe_forward, calls)


def test_edited_latents_and_picture(edit):
    check_final(edit.final, edit.recording, FINAL_MAX, FINAL_RMS)
    check_picture(edit.image, edit.recording, 1, 0.99)


def test_picture_and_mask(edit, reference):
    common = edit.combination.common
    inputs = encode_inputs(reference, [edit.sample], 512, None, common.image_loader)
    near(inputs.latents, edit.recording["z0"], Z0)
    mask = latent_masks([edit.sample], inputs.latents, 512, common.image_loader, 8)
    np.testing.assert_array_equal(mask, edit.recording["latent_mask"])


def test_every_step(edit):
    """The latents of each call are the blend of the step before; the first are noise alone."""
    times, latents, _ = zip(*edit.calls, strict=True)
    assert list(times) == edit.recording["timesteps"].tolist()
    near(latents[0][:1], edit.recording["start_noise"], 0)
    after = [*(each[:1] for each in latents[1:]), edit.final]
    near(torch.stack(after)[..., ::8, ::8], edit.recording["edit_traj_strided"], BETWEEN)


def test_it_takes_as_many_evaluations_as_the_published_code(edit):
    assert edit.rows == edit.recording["rows_forward"] == 2 * (STEPS - 2)
