"""Stable Diffusion XL as the package calls it, compared with diffusers' pipeline."""

from dataclasses import replace

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.diffusion.schedules import ddim_schedule

PROMPT, STEPS, SIZE = "a cat sitting next to a mirror", 3, (128, 128)


@pytest.fixture(scope="module")
def noise():
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def sample(model, noise, size=SIZE):
    schedule = ddim_schedule(model.alphas_cumprod, STEPS)
    texts = model.embed_prompts([PROMPT], size), model.embed_uncond(1, size)
    return sample_ode(model, noise, *texts, schedule, Guidance(7.5))[0]


def sample_by_pipeline(folder, noise, zeros, **options):
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.register_to_config(force_zeros_for_empty_prompt=zeros)
    options = {"num_inference_steps": STEPS, "guidance_scale": 7.5, **options}
    return pipeline(PROMPT, latents=noise, output_type="latent", **options).images


@pytest.mark.parametrize("zeros", [True, False])
def test_sampling_equals_the_pipeline(sdxl, tiny_sdxl, noise, zeros):
    model = replace(sdxl, zeros_for_empty_prompt=zeros)
    expected = sample_by_pipeline(tiny_sdxl, noise, zeros)
    torch.testing.assert_close(sample(model, noise), expected, atol=2e-5, rtol=0)
    assert (sample(replace(model, zeros_for_empty_prompt=not zeros), noise) - expected).abs().max() > 0.01


def test_the_size_that_the_model_is_told_is_height_and_width(sdxl, tiny_sdxl, noise):
    expected = sample_by_pipeline(tiny_sdxl, noise, True, original_size=(64, 128), target_size=(64, 128))
    torch.testing.assert_close(sample(sdxl, noise, (64, 128)), expected, atol=2e-5, rtol=0)
    assert (sample(sdxl, noise) - expected).abs().max() > 1e-3


class NoDoubles(TorchDispatchMode):
    """Raises where an operation gives a tensor of double precision, which some devices do not have."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        doubles = [leaf for leaf in tree_leaves(made) if getattr(leaf, "dtype", None) == torch.float64]
        assert not doubles, f"{function} in double precision"
        return made


def test_nothing_is_computed_in_double_precision(sdxl, noise):
    with NoDoubles():
        assert sample(sdxl, noise).dtype == torch.float32
