"""Pictures in and out as FlowAlign's published code has them, by the autoencoder of Stable Diffusion 3."""

import numpy as np
import pytest
import torch

from piebench_eval.data.images import load_image
from piebench_eval.diffusion.loop import EditInputs
from piebench_eval.inversions.offsets import drawn_noise
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.decoding import grey_levels
from piebench_eval.models.sd1 import StableDiffusion
from tests.golden.recordings import load_flow_case

pytestmark = pytest.mark.golden

SIDE, SEED = 256, 123

# The recordings' own recommendation.
ENCODED, DECODED = 1e-4, 3e-4


@pytest.fixture(scope="module")
def model(golden_flow):
    """Its autoencoder alone; pictures need no more, whatever the family."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(golden_flow / "tiny-sd3/vae").eval()
    return StableDiffusion(vae=vae, tokenizer=None, device=torch.device("cpu"), unet=None, text_encoder=None)


def encoded(model, folder, case, loader="resize_bilinear", **how):
    picture = load_image(load_flow_case(folder, case).file, SIDE, loader)
    return model.encode_images([picture], **how)


@pytest.mark.parametrize("case", ["case1", "case2"])
def test_a_sample_of_the_posterior(model, golden_flow_c, case):
    recorded = np.load(golden_flow_c / f"npz/flowalign__{case}.npz")["z0"]
    found = encoded(model, golden_flow_c, case, posterior="sample", seed=SEED)
    np.testing.assert_allclose(found, recorded, rtol=0, atol=ENCODED)
    for other in (
        {"posterior": "mean"},
        {"posterior": "sample", "seed": SEED + 1},
        {"loader": "resize", "posterior": "sample", "seed": SEED},
    ):
        if case == "case1" and "loader" in other:
            continue  # it has 256 pixels already
        assert np.abs(encoded(model, golden_flow_c, case, **other) - recorded).max() > 100 * ENCODED


def test_inversions_draw_on_from_there(golden_flow_c):
    recorded = np.load(golden_flow_c / "extra/noise.npz")
    nothing = Conditioning(torch.zeros(1, 1, 1))
    latents = torch.zeros(1, 16, 32, 32)
    texts = [nothing] * 5
    inputs = EditInputs(latents, *texts, [False], [False], seed=SEED, draws_before=1)
    noise = recorded["flowalign_noise"]
    np.testing.assert_array_equal(drawn_noise(inputs, len(noise)), noise)


@pytest.mark.parametrize("name", ["flowalign__case1", "flowalign__case2", "flowalign_cfg7__case1"])
def test_a_picture_stretched_between_its_lowest_and_highest_level(model, golden_flow_c, name):
    recording = np.load(golden_flow_c / f"npz/{name}.npz")
    final = torch.from_numpy(recording["final_latent"])
    with torch.no_grad():
        decoded = model.vae.decode(final / 1.5305 + 0.0609).sample
    lowest, highest = recording["decoded_min"], recording["decoded_max"]
    np.testing.assert_allclose([decoded.min(), decoded.max()], [lowest, highest], rtol=0, atol=DECODED)
    recorded = recording["decoded_crop"][0].transpose(1, 2, 0)
    expected = np.floor((recorded - lowest) / (highest - lowest) * 255 + 0.5)
    saved = model.decode_latents(final, "min_max", whole="round")[0]
    apart = np.abs(saved[64:192:2, 64:192:2] - expected)
    assert apart.max() <= 1 and (apart > 0).mean() <= 0.01
    assert (saved.min(), saved.max()) == (0, 255)
    np.testing.assert_array_equal(grey_levels(decoded, "min_max", "round")[0].permute(1, 2, 0), saved)
