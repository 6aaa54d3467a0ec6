"""That diffusers itself runs the small models of the tests, and that prompts change what they give."""

import json

import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)

from tests.support.tiny_model import save_tiny_instaflow, save_tiny_lcm
from tests.support.tiny_sd3 import save_tiny_sd3
from tests.support.tiny_sdxl import save_tiny_sdxl

PROMPT, OTHER = "a cat sitting next to a mirror", "a dog sitting next to a mirror"


def load(folder, kind=DiffusionPipeline):
    pipeline = kind.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline, prompt=None, **options):
    """Two guided steps from the same noise: latents [1, 4, 16, 16]."""
    noise = torch.Generator().manual_seed(0)
    options = {"num_inference_steps": 2, "guidance_scale": 7.5, "generator": noise, **options}
    return pipeline(prompt, output_type="latent", **options).images


def change(latents, others):
    """How far latents lie apart, in units of their size."""
    return ((latents - others).std() / latents.std()).item()


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return load(save_tiny_sdxl(tmp_path_factory.mktemp("sdxl")), StableDiffusionXLPipeline)


def test_sdxl_samples_and_follows_its_prompt(sdxl):
    latents = sample(sdxl, PROMPT)
    assert latents.shape == (1, 4, 16, 16) and latents.isfinite().all()
    assert 0.3 < latents.std() < 3
    assert torch.equal(latents, sample(sdxl, PROMPT))
    assert change(latents, sample(sdxl, OTHER)) > 0.05


def test_sdxl_follows_tokens_and_pooled_embedding_each_by_itself(sdxl):
    tokens, pooled = "prompt_embeds", "pooled_prompt_embeds"
    names = (tokens, f"negative_{tokens}", pooled, f"negative_{pooled}")
    given, others = (dict(zip(names, sdxl.encode_prompt(text), strict=True)) for text in (PROMPT, OTHER))
    latents = sample(sdxl, **given)
    assert torch.equal(latents, sample(sdxl, PROMPT))
    assert not given[f"negative_{tokens}"].any()  # force_zeros_for_empty_prompt
    for name, least in ((tokens, 0.05), (pooled, 0.005)):
        assert change(latents, sample(sdxl, **{**given, name: others[name]})) > least


def test_sdxl_heeds_the_size_that_it_is_told(sdxl):
    assert change(sample(sdxl, PROMPT), sample(sdxl, PROMPT, original_size=(64, 128))) > 0.001


def test_sdxl_has_two_tokenizers_that_pad_differently(sdxl):
    one, other = (
        tokenizer("a cat", padding="max_length").input_ids for tokenizer in (sdxl.tokenizer, sdxl.tokenizer_2)
    )
    end = sdxl.tokenizer.eos_token_id
    assert len(one) == len(other) == 77
    assert one[:4] == other[:4] == [end - 1, *one[1:3], end]
    assert set(one[4:]) == {end}
    assert set(other[4:]) == {0} and sdxl.tokenizer_2.pad_token == "!"


def test_sdxl_pools_the_state_of_the_prompts_end(sdxl):
    ids = sdxl.tokenizer_2("a cat", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = sdxl.text_encoder_2(ids)
        expected = sdxl.text_encoder_2.text_projection(states.last_hidden_state[:, 3])
    torch.testing.assert_close(states.text_embeds, expected)


def test_sdxl_keeps_what_readers_of_its_schedule_need(sdxl):
    """DDIM's own defaults differ from SDXL's in all of these."""
    config = sdxl.scheduler.config
    assert (config.clip_sample, config.set_alpha_to_one, config.steps_offset) == (False, False, 1)
    assert config.beta_schedule == "scaled_linear" and config.timestep_spacing == "leading"


def test_sdxl_encodes_and_decodes(sdxl):
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = sdxl.vae.encode(image).latent_dist.mean
        assert 0.3 < latents.std() * sdxl.vae.config.scaling_factor < 3
        assert sdxl.vae.decode(latents).sample.shape == image.shape
    assert sdxl.vae.config.force_upcast


def test_stable_diffusion_has_an_index(tiny_model):
    assert type(DiffusionPipeline.from_pretrained(tiny_model)) is StableDiffusionPipeline


def test_lcm_samples_and_follows_prompt_and_guidance(tmp_path):
    lcm = load(save_tiny_lcm(tmp_path))
    assert type(lcm).__name__ == "LatentConsistencyModelPipeline"
    assert lcm.unet.config.time_cond_proj_dim == 256
    assert lcm.scheduler.config.original_inference_steps == 50
    latents = sample(lcm, PROMPT)
    assert 0.3 < latents.std() < 30  # untrained, it leaves the noise, and a step divides by sqrt(alpha)
    assert change(latents, sample(lcm, OTHER)) > 0.01
    assert change(latents, sample(lcm, PROMPT, guidance_scale=3)) > 0.005


def test_instaflow_flows_by_its_prompt_and_inverts_in_a_step(tmp_path):
    folder = save_tiny_instaflow(tmp_path)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "RectifiedFlowPipeline"
    flow = load(folder, StableDiffusionPipeline)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        words = [flow.encode_prompt(text, "cpu", 1, False)[0] for text in (PROMPT, OTHER)]
        one, other = (noise + flow.unet(noise, 1000.0, text).sample for text in words)
        inverted = one
        for _ in range(16):
            inverted = one - flow.unet(inverted, 1000.0, words[0]).sample
    assert 0.3 < one.std() < 3
    assert change(one, other) > 0.03
    assert change(one, noise) > 0.2
    assert change(noise, inverted) < 0.01


@pytest.fixture(scope="module")
def sd3(tmp_path_factory):
    return load(save_tiny_sd3(tmp_path_factory.mktemp("sd3")), StableDiffusion3Pipeline)


def test_sd3_samples_and_follows_its_prompt(sd3):
    latents = sample(sd3, PROMPT)
    assert latents.shape == (1, 16, 16, 16) and latents.isfinite().all()
    assert 0.3 < latents.std() < 3
    assert change(latents, sample(sd3, OTHER)) > 0.05


def test_sd3_follows_every_encoder_by_itself(sd3):
    latents = sample(sd3, PROMPT)
    for other in ({"prompt_2": OTHER}, {"prompt_3": OTHER}):
        assert change(latents, sample(sd3, PROMPT, **other)) > 0.005


def test_t5_has_no_start_token_and_spells_unknown_words(sd3):
    ids = sd3.tokenizer_3("a pirate cat").input_ids
    tokens = sd3.tokenizer_3.convert_ids_to_tokens(ids)
    assert tokens == ["▁a", "▁", *"pirate", "▁cat", "</s>"]


def test_sd3_encodes_and_decodes(sd3):
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        latents = sd3.vae.encode(image).latent_dist.mean
        assert latents.shape == (1, 16, 16, 16) and sd3.vae.decode(latents).sample.shape == image.shape
    assert (sd3.vae.config.scaling_factor, sd3.vae.config.shift_factor) == (1.5305, 0.0609)
