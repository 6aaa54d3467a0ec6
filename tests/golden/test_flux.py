"""FLUX.1's parts and plain sampling, as recorded on a small model."""

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.models.loading import load_model
from piebench_eval.models.packing import packed, unpacked
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
    return load_model(str(golden_flow / "tiny-flux"))


@pytest.fixture(scope="module")
def units(golden_flow):
    return np.load(golden_flow / "extra" / "unit_flux.npz")


def recording(folder, name):
    return np.load(folder / "npz" / f"{name}.npz")


def scheduled(model, shape, steps=12):
    return plan_schedule(model, CommonSettings(model="small", steps=steps), shape)


@pytest.mark.parametrize("case", ["case1", "case3"])  # the third is longer than CLIP reads
def test_token_ids_of_both_tokenizers(golden_flow, model, units, case):
    sample = load_flow_case(golden_flow, case)
    check_token_ids(model, units, sample, case, {"tokenizer": 77, "tokenizer_2": 512})


@pytest.mark.parametrize("case", ["case1", "case3"])
def test_embeddings(golden_flow, model, units, case):
    check_embeddings(model, units, load_flow_case(golden_flow, case), case, TEXT)


def test_an_encoded_picture(golden_flow, model):
    expected = recording(golden_flow, "flowedit_flux__case2")["z0"]
    check_encoded_picture(model, load_flow_case(golden_flow, "case2"), expected, ENCODED)


@torch.no_grad()
def test_velocities(golden_flow, model, units):
    z0 = torch.from_numpy(recording(golden_flow, "flowedit_flux__case2")["z0"])
    grid = tuple(side // 2 for side in z0.shape[2:])
    noise = unpacked(torch.from_numpy(recording(golden_flow, "noise_flux__case2")["noise"][:1]), grid, 2)
    text = model.embed_prompts([load_flow_case(golden_flow, "case2").source_prompt])
    levels = zip(units["v_sigma"].tolist(), units["v_guidance"].tolist(), units["v"], strict=True)
    for sigma, scale, expected in levels:
        latents = (1 - sigma) * z0 + sigma * noise
        found = model.predict(latents, 1000 * sigma, text.with_guidance(scale), [0])
        near(packed(found, 2)[0], expected, VELOCITY)


@pytest.mark.parametrize("name", ["flowedit_flux", "euler_flux", "rfinv"])
@pytest.mark.parametrize("case", ["case1", "case2", "case3"])
def test_sigmas_and_times(golden_flow, model, name, case):
    """They depend on the picture's size."""
    expected = recording(golden_flow, f"{name}__{case}")
    shape = recording(golden_flow, f"flowedit_flux__{case}")["z0"].shape[-2:]
    steps = len(expected["timesteps"])
    schedule = scheduled(model, shape, steps)
    near(schedule.sigmas[::-1], expected["sigmas"], SIGMA)
    near(schedule.timesteps[::-1], expected["timesteps"], 1e-3)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(model.scheduler)
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps), mu=float(expected["mu"]))
    near(schedule.sigmas[::-1], scheduler.sigmas, SIGMA)


@pytest.mark.parametrize(
    "case", ["case2", *(pytest.param(c, marks=pytest.mark.slow) for c in ("case1", "case3"))]
)
def test_sampling_from_an_inverted_latent(golden_flow, model, case):
    """The source at scale 1, and the target at another."""
    expected, sample = recording(golden_flow, f"euler_flux__{case}"), load_flow_case(golden_flow, case)
    height, width = expected["recon_latent"].shape[-2:]
    schedule = scheduled(model, (height, width))
    noisiest = unpacked(torch.from_numpy(expected["xT"]), (height // 2, width // 2), 2)
    for name, prompt, scale in (
        ("recon_latent", sample.source_prompt, 1.0),
        ("final_latent", sample.target_prompt, 3.5),
    ):
        texts = model.embed_prompts([prompt]), model.embed_uncond(1)
        found = sample_ode(model, noisiest, *texts, schedule, Guidance(scale, policy="embedded"))[0]
        check_final(found, {"final_latent": expected[name]}, LATENT_MAX, LATENT_RMS)
