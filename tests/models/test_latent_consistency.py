"""Latent consistency models: the guidance scale as an input of the UNet, against diffusers' own pipeline."""

import json

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import predict_guided, sample_ode
from piebench_eval.diffusion.schedules import lcm_schedule
from piebench_eval.errors import PiebenchError
from piebench_eval.models.loading import load_model
from tests.support.tiny_model import save_tiny_lcm

PROMPT, SCALE = "a cat sitting next to a mirror", 8.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_lcm(tmp_path_factory.mktemp("lcm"))


@pytest.fixture(scope="module")
def lcm(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def noise():
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sampled(folder, noise):
    """Diffusers' text-to-image: by number of steps its latents, and the UNet's first output."""
    pipeline = LatentConsistencyModelPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    outputs = []
    pipeline.unet.register_forward_hook(lambda module, inputs, output: outputs.append(output[0]))
    found = {}
    for steps in (1, 4):
        outputs.clear()
        options = {"num_inference_steps": steps, "guidance_scale": SCALE, "output_type": "latent"}
        found[steps] = pipeline(PROMPT, latents=noise.clone(), **options).images, outputs[0]
    return found


def texts(lcm):
    return lcm.embed_prompts([PROMPT]), lcm.embed_prompts([""])


@pytest.mark.parametrize("steps", [1, 4])
def test_the_first_steps_output_is_diffusers(lcm, noise, sampled, steps):
    schedule, guidance = lcm_schedule(lcm.alphas_cumprod, steps), Guidance(SCALE, policy="embedded")
    with torch.no_grad():
        output = predict_guided(lcm, noise, schedule.timestep(steps), *texts(lcm), guidance)
        without = lcm.predict(noise, schedule.timestep(steps), texts(lcm)[0], [0])
    torch.testing.assert_close(output, sampled[steps][1], atol=1e-5, rtol=0)
    assert (without - output).abs().max() > 1e-3  # InfEdit's code gives no scale


def test_a_single_steps_latents_are_diffusers(lcm, noise, sampled):
    schedule = lcm_schedule(lcm.alphas_cumprod, 1)
    (found, _) = sample_ode(lcm, noise, *texts(lcm), schedule, Guidance(SCALE, policy="embedded"))
    torch.testing.assert_close(found, sampled[1][0], atol=1e-4, rtol=0)


def test_branches_have_scales_of_their_own(lcm, noise):
    prompt = texts(lcm)[0]
    both = prompt.cat([prompt.with_guidance(1.0), prompt.with_guidance(SCALE)])
    with torch.no_grad():
        together = lcm.predict(noise.expand(2, -1, -1, -1), 999, both, [0, 0])
        alone = lcm.predict(noise, 999, prompt.with_guidance(SCALE), [0])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.fixture
def without_input(tiny_model):
    """A model without an input for the scale, as a fused LCM-LoRA leaves it."""
    assert not json.loads((tiny_model / "unet" / "config.json").read_text())["time_cond_proj_dim"]
    return str(tiny_model)


@pytest.mark.parametrize("policy", ["auto", "embedded"])
def test_a_unet_without_the_input_is_refused_at_planning(without_input, photo_bench, tmp_path, policy):
    command = ["run", "--inversion", "ddim", "--method", "plain", "--data", str(photo_bench), "--dry-run"]
    command += ["--model", without_input, "--set", "family=lcm", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*command, "--set", f"guidance_policy={policy}"])
    said = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "time_cond_proj_dim" in said and "guidance_policy=classifier_free" in said
    result = CliRunner().invoke(app, [*command, "--set", "guidance_policy=classifier_free"])
    assert result.exit_code == 0, result.output


def test_a_unet_without_the_input_is_refused_when_it_is_called(without_input, noise):
    model = load_model(without_input, family="lcm")
    prompt = texts(model)[0]
    with pytest.raises(PiebenchError, match="guidance_policy=classifier_free"):
        model.predict(noise, 999, prompt.with_guidance(2.0), [0])
    assert model.predict(noise, 999, prompt, [0]).shape == noise.shape
