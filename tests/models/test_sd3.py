"""Stable Diffusion 3 as the package calls it, compared with diffusers' pipeline."""

from dataclasses import replace

import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.methods.base import Prompts
from piebench_eval.models.cache import Cache
from piebench_eval.models.loading import load_model
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.runs.edit_inputs import embed_inputs, plan_schedule
from piebench_eval.warning_filters import ignored_warnings
from tests.support.tiny_sd3 import save_tiny_sd3

PROMPT, STEPS, SIZE = "a cat sitting next to a mirror", 3, (96, 128)


@pytest.fixture(scope="module")
def noise():
    return torch.randn(1, 16, 12, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sd3(model_of):
    return model_of("sd3")


@pytest.fixture(scope="module")
def folders(tiny_sd3, tmp_path_factory):
    """The model, one of the newer kind, and one without T5."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "older": tiny_sd3,
        "newer": save_tiny_sd3(folder / "newer", newer=True),
        "without T5": save_tiny_sd3(folder / "without_t5", t5=False),
    }


def sample(model, noise):
    schedule = plan_schedule(model, CommonSettings(model="small", steps=STEPS))
    texts = model.embed_prompts([PROMPT], SIZE), model.embed_uncond(1, SIZE)
    return sample_ode(model, noise, *texts, schedule, Guidance(7))[0]


def sample_by_pipeline(folder, noise, **options):
    absent = ("text_encoder_3", "tokenizer_3") if not (folder / "text_encoder_3").is_dir() else ()
    with ignored_warnings():
        pipeline = StableDiffusion3Pipeline.from_pretrained(folder, **dict.fromkeys(absent))
    pipeline.set_progress_bar_config(disable=True)
    height, width = SIZE
    options = {"num_inference_steps": STEPS, "guidance_scale": 7, **options}
    made = pipeline(PROMPT, latents=noise, output_type="latent", height=height, width=width, **options)
    return made.images


@pytest.mark.parametrize("kind", ["older", "newer", "without T5"])
def test_sampling_equals_the_pipeline(folders, noise, kind):
    model = load_model(str(folders[kind]))
    found, expected = sample(model, noise), sample_by_pipeline(folders[kind], noise)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert (found - noise).abs().max() > 0.1


def test_with_other_lengths_it_equals_the_pipeline_too(folders, noise):
    for kind in ("older", "without T5"):
        model = load_model(str(folders[kind]), t5_length=32)
        expected = sample_by_pipeline(folders[kind], noise, max_sequence_length=32)
        torch.testing.assert_close(sample(model, noise), expected, atol=2e-5, rtol=0)
        assert (sample(replace(model, t5_length=None), noise) - expected).abs().max() > 1e-3


def test_lengths_are_of_the_tokens_of_each_encoder(tiny_sd3, sd3):
    assert [length for _, length in sd3.text_tokenizers] == [77, 256]
    short = load_model(str(tiny_sd3), clip_length=20, t5_length=12)
    assert [(type(one).__name__, length) for one, length in short.text_tokenizers] == [
        ("CLIPTokenizer", 20),
        ("T5Tokenizer", 12),
    ]
    found, whole = short.embed_prompts(["a cat"]), sd3.embed_prompts(["a cat"])
    assert found.tokens.shape == (1, 32, 48) and whole.tokens.shape == (1, 333, 48)
    # CLIP reads from left to right: what follows changes nothing.
    torch.testing.assert_close(found.tokens[:, :20], whole.tokens[:, :20])
    assert not found.tokens[:, :20, 40:].any() and found.tokens[:, 20:, 40:].all()
    torch.testing.assert_close(found.pooled, whole.pooled)


def test_an_embedding_does_not_depend_on_its_batch_nor_on_the_cache(sd3):
    alone = sd3.embed_prompts([PROMPT])
    cached = replace(sd3, cache=Cache({}))
    for model in (sd3, cached, cached):
        assert model.embed_prompts(["a dog", PROMPT, "a dog"]).take([1]).equals(alone)
    assert not replace(cached, t5_length=8).embed_prompts([PROMPT]).equals(alone)


def test_a_model_without_t5_has_zeros_of_the_length_that_is_asked(folders):
    model = load_model(str(folders["without T5"]))
    model.cache = Cache({})
    for length in (None, 10):
        tokens = replace(model, t5_length=length).embed_prompts([PROMPT]).tokens
        assert tokens.shape == (1, 77 + (length or 256), 48)
        assert not tokens[:, 77:].any() and tokens[:, :77].any()
    assert list(model.text_encoders) == ["text_encoder", "text_encoder_2"]
    assert len(model.text_tokenizers) == 1


def test_unconditional_rows_have_the_empty_prompt(sd3):
    assert sd3.uncond_is_empty_prompt
    assert sd3.embed_uncond(1).equals(sd3.embed_prompts([""])) and sd3.embed_uncond(1).tokens.any()


def test_prompts_that_differ_for_t5_alone_are_different_texts(sd3, folders):
    """CLIP reads 77 tokens of both, which are the same."""
    long = "a cat " * 60
    texts = [Prompts(inversion=long + "in the mirror", source=long + "next to", target="a dog")]
    for model, same in ((sd3, False), (load_model(str(folders["without T5"])), True)):
        inputs = embed_inputs(model, torch.zeros(1, 16, 12, 16), texts, SIZE, Guidance(), 0)
        assert inputs.source_is_inversion == [same]
        assert inputs.source_embeds.equals(inputs.inversion_embeds) is same


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_inside_a_call_alone(tiny_sd3, sd3, noise, precision):
    half = load_model(str(tiny_sd3), precision=precision)
    assert half.vae.dtype == torch.float32
    assert {network.dtype for network in half.text_encoders.values()} == {half.transformer.dtype}
    assert {weight.dtype for weight in half.transformer.state_dict().values()} == {half.transformer.dtype}
    assert half.transformer.dtype != torch.float32
    text, found = sd3.embed_prompts([PROMPT]), half.embed_prompts([PROMPT])
    assert all(part.dtype == torch.float32 for part in found.parts)
    expected, velocity = sd3.predict(noise, 503.5, text, [0]), half.predict(noise, 503.5, found, [0])
    assert velocity.dtype == torch.float32
    assert 0 < (velocity - expected).abs().max() < 0.1 * expected.abs().max()
