"""Stable Diffusion 3's parts and plain sampling, as recorded on a small model."""

import numpy as np
import pytest
import torch

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.runs.edit_inputs import plan_schedule
from tests.golden.recordings import (
    check_embeddings,
    check_encoded_picture,
    check_final,
    check_token_ids,
    load_flow_case,
    near,
)

pytestmark = pytest.mark.golden

# The recordings' own recommendation.
TEXT, ENCODED, VELOCITY, SIGMA = 1e-4, 1e-4, 3e-4, 1e-6
LATENT_MAX, LATENT_RMS = 2e-4, 2e-5


@pytest.fixture(scope="module")
def model(golden_flow):
    return load_model(str(golden_flow / "tiny-sd3"))


@pytest.fixture(scope="module")
def units(golden_flow):
    return np.load(golden_flow / "extra" / "unit_sd3.npz")


def recording(folder, name):
    return np.load(folder / "npz" / f"{name}.npz")


@pytest.mark.parametrize("case", ["case1", "case3"])  # the third is longer than CLIP reads
def test_token_ids_of_all_tokenizers(golden_flow, model, units, case):
    sample = load_flow_case(golden_flow, case)
    check_token_ids(model, units, sample, case, {"tokenizer": 77, "tokenizer_2": 77, "tokenizer_3": 256})


@pytest.mark.parametrize("case", ["case1", "case3"])
def test_embeddings(golden_flow, model, units, case):
    check_embeddings(model, units, load_flow_case(golden_flow, case), case, TEXT)


def test_an_encoded_picture(golden_flow, model):
    expected = recording(golden_flow, "flowedit_sd3__case2")["z0"]
    check_encoded_picture(model, load_flow_case(golden_flow, "case2"), expected, ENCODED)


@torch.no_grad()
def test_velocities_at_two_levels(golden_flow, model, units):
    z0 = recording(golden_flow, "flowedit_sd3__case2")["z0"]
    noise = recording(golden_flow, "noise_sd3__case2")["noise"][0].reshape(z0.shape)
    text = model.embed_prompts([load_flow_case(golden_flow, "case2").source_prompt])
    for sigma, expected in zip(units["v_sigma"].tolist(), units["v"], strict=True):
        latents = torch.from_numpy((1 - sigma) * z0 + sigma * noise).float()
        near(model.predict(latents, 1000 * sigma, text, [0])[0], expected, VELOCITY)


@pytest.mark.parametrize("name", ["flowedit_sd3__case1", "euler_sd3__case1"])
def test_sigmas_and_times(golden_flow, model, name):
    expected = recording(golden_flow, name)
    schedule = plan_schedule(model, CommonSettings(model="small", steps=12))
    near(schedule.sigmas[::-1], expected["sigmas"], SIGMA)
    near(schedule.timesteps[::-1], expected["timesteps"], 1e-3)


@pytest.mark.parametrize("case", ["case1", pytest.param("case3", marks=pytest.mark.slow)])
def test_sampling_from_an_inverted_latent(golden_flow, model, case):
    """The source without guidance, and the target under it."""
    expected, sample = recording(golden_flow, f"euler_sd3__{case}"), load_flow_case(golden_flow, case)
    schedule = plan_schedule(model, CommonSettings(model="small", steps=12))
    noisiest = torch.from_numpy(expected["xT"])
    for name, prompt, scale in (
        ("recon_latent", sample.source_prompt, 1),
        ("final_latent", sample.target_prompt, 7),
    ):
        texts = model.embed_prompts([prompt]), model.embed_uncond(1)
        found = sample_ode(model, noisiest, *texts, schedule, Guidance(scale))[0]
        check_final(found, {"final_latent": expected[name]}, LATENT_MAX, LATENT_RMS)
