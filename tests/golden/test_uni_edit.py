"""Uni-Edit as its published diffusers code has it, on the transformer of Stable Diffusion 3."""

import numpy as np
import pytest
import torch

from piebench_eval.methods.uni_edit import UniEditController, UniEditSettings, difference_mask

pytestmark = pytest.mark.golden

# The recordings' own recommendation.
MASK, FINAL_MAX, FINAL_RMS = 1e-4, 1e-4, 1e-5


@pytest.mark.parametrize("case", ["case1", "case2"])
@torch.no_grad()
def test_an_edit_from_the_inverted_latents(golden_flow_b, case):
    """Euler's steps along the bent velocity, with the masks of all of them."""
    from diffusers import SD3Transformer2DModel

    transformer = SD3Transformer2DModel.from_pretrained(golden_flow_b / "tiny-sd3-b/transformer").eval()
    given = np.load(golden_flow_b / f"npz/inputs__{case}.npz")
    recording = np.load(golden_flow_b / f"npz/unidiff_sd3_edit__{case}.npz")
    tokens, pooled = (
        torch.from_numpy(np.concatenate([given[f"{kind}_{text}"] for text in ("src", "tgt")]))
        for kind in ("txt", "vec")
    )
    controller = UniEditController(1, UniEditSettings(omega=5.0, mask="signed"))
    latents, sigmas = torch.from_numpy(recording["inv_final"]), recording["edit_sigmas"]
    for step, time in enumerate(recording["edit_timesteps"]):
        at = torch.full((2,), float(time))
        source, target = transformer(latents.expand(2, -1, -1, -1), tokens, pooled, at, return_dict=False)[
            0
        ].split(1)
        mask = difference_mask(target - source, "signed")
        np.testing.assert_allclose(mask[0, 0], recording["edit_mask"][step], rtol=0, atol=MASK)
        velocity = source + controller.modify_target_guidance(target - source)
        latents = latents + float(sigmas[step + 1] - sigmas[step]) * velocity
    error = np.abs(latents.numpy() - recording["edit_final"])
    assert error.max() <= FINAL_MAX and np.sqrt((error**2).mean()) <= FINAL_RMS
