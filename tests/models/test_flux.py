"""FLUX.1 as the package calls it, compared with diffusers' pipeline, and what its files say."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.guidance import Guidance
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.ode import sample_ode
from piebench_eval.errors import PiebenchError
from piebench_eval.inversions import INVERSIONS
from piebench_eval.methods.base import Prompts
from piebench_eval.models.loading import load_model
from piebench_eval.models.location import (
    check_guidance_policy,
    check_model_location,
    find_family,
    image_sizes,
    known_family,
)
from piebench_eval.models.packing import packed, unpacked
from piebench_eval.recipes.combination import CommonSettings
from piebench_eval.recipes.compatibility import require_compatible
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.edit_inputs import embed_inputs, plan_schedule
from piebench_eval.warning_filters import ignored_warnings
from tests.support.model_files import change, refused, weights
from tests.support.tiny_flux import save_tiny_flux

EMBEDDED = Guidance(3.5, policy="embedded")
PROMPT, OTHER, STEPS, SIZE = "a cat sitting next to a mirror", "a dog", 3, (96, 128)
SHAPE = (SIZE[0] // 8, SIZE[1] // 8)


@pytest.fixture(scope="module")
def noise():
    return torch.randn(1, 16, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def flux(model_of):
    return model_of("flux")


@pytest.fixture(scope="module")
def schnell(tmp_path_factory):
    return save_tiny_flux(tmp_path_factory.mktemp("models") / "schnell", schnell=True)


@pytest.fixture
def model(tiny_flux, tmp_path):
    return shutil.copytree(tiny_flux, tmp_path / "model")


def sample(model, noise, guidance=EMBEDDED, prompt=PROMPT):
    schedule = plan_schedule(model, CommonSettings(model="small", steps=STEPS), SHAPE)
    texts = model.embed_prompts([prompt], SIZE), model.embed_uncond(1, SIZE)
    return sample_ode(model, noise, *texts, schedule, guidance)[0]


def sample_by_pipeline(folder, noise, **options):
    with ignored_warnings():
        pipeline = FluxPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    height, width = SIZE
    made = pipeline(
        PROMPT,
        latents=packed(noise, 2),
        output_type="latent",
        height=height,
        width=width,
        num_inference_steps=STEPS,
        **options,
    )
    return unpacked(made.images, (height // 16, width // 16), 2)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_sampling_equals_the_pipeline(tiny_flux, flux, noise):
    found = sample(flux, noise)
    close(found, sample_by_pipeline(tiny_flux, noise, guidance_scale=3.5))
    assert (found - noise).abs().max() > 0.1
    assert (found - sample(flux, noise, prompt=OTHER)).abs().max() > 1e-2


def test_the_scale_is_an_input(flux, noise):
    (low, high, one) = (sample(flux, noise, Guidance(scale, policy="embedded")) for scale in (1.5, 5.5, 1))
    assert (low - high).abs().max() > 1e-3
    assert torch.equal(one, sample(flux, noise, Guidance(1.0)))  # 1 is put in where nothing is said


def test_without_the_input_it_equals_the_pipeline_too(schnell, noise):
    model = load_model(str(schnell))
    found = sample(model, noise, Guidance(1.0, policy="embedded"))
    close(found, sample_by_pipeline(schnell, noise))
    schedule = plan_schedule(model, CommonSettings(model="small", steps=4), SHAPE)
    assert schedule.sigmas == (0, 0.25, 0.5, 0.75, 1)


def test_other_lengths_equal_the_pipeline(tiny_flux, flux, noise):
    model = load_model(str(tiny_flux), t5_length=32)
    expected = sample_by_pipeline(tiny_flux, noise, max_sequence_length=32, guidance_scale=3.5)
    close(sample(model, noise), expected)
    assert (sample(flux, noise) - expected).abs().max() > 1e-3
    short = load_model(str(tiny_flux), clip_length=4)
    found, whole = short.embed_prompts([PROMPT]), flux.embed_prompts([PROMPT])
    assert torch.equal(found.tokens, whole.tokens) and not torch.equal(found.pooled, whole.pooled)


def test_classifier_free_guidance_equals_the_pipelines(tiny_flux, flux, noise):
    """Its true_cfg_scale: a second row with the same embedded scale."""
    expected = sample_by_pipeline(
        tiny_flux, noise, guidance_scale=2.5, true_cfg_scale=4.0, negative_prompt=OTHER
    )
    guidance = Guidance(4.0, embedded=2.5)
    texts = [Prompts(inversion=PROMPT, source=PROMPT, target=PROMPT, negative=OTHER)]
    inputs = embed_inputs(flux, noise, texts, SIZE, guidance, 0)
    schedule = plan_schedule(flux, CommonSettings(model="small", steps=STEPS), SHAPE)
    euler = INVERSIONS.get("euler")
    inverted = euler.invert(flux, inputs, schedule, euler.settings())
    trajectory = inverted.trajectory.clone()
    trajectory[-1] = noise
    found = edit(flux, inputs, replace(inverted, trajectory=trajectory), AttentionController(1), schedule)
    close(found, expected)


def test_rows_under_classifier_free_guidance(flux, noise, monkeypatch):
    """The source's and the inversion's are at scale 1; the target's at the one that is chosen."""
    seen = []

    def watched(latents, time, conditioning):
        seen.append(conditioning.vectors.get("guidance"))
        return torch.zeros_like(latents)

    monkeypatch.setattr(flux, "denoise", watched)
    texts = [Prompts(inversion=PROMPT, source=PROMPT, target=OTHER)]
    inputs = embed_inputs(flux, noise, texts, SIZE, Guidance(4.0, embedded=2.5), 0)
    schedule = plan_schedule(flux, CommonSettings(model="small", steps=1), SHAPE)
    euler = INVERSIONS.get("euler")
    edit(
        flux, inputs, euler.invert(flux, inputs, schedule, euler.settings()), AttentionController(1), schedule
    )
    of_inversion, of_edit = seen
    assert of_inversion is None and of_edit.tolist() == [2.5, 2.5]


def test_packing_is_the_pipelines():
    latents = torch.randn(2, 16, 6, 10)
    expected = FluxPipeline._pack_latents(latents, 2, 16, 6, 10)
    assert torch.equal(packed(latents, 2), expected)
    assert torch.equal(unpacked(expected, (3, 5), 2), latents)


def test_prompts_are_told_apart_by_both_encoders(flux):
    """Words that T5 does not know are one token to it."""
    assert [length for _, length in flux.text_tokenizers] == [512]
    assert [length for _, length in flux.prompt_tokenizers] == [77, 512]
    texts = [Prompts(inversion="a cat 猫", source="a cat 犬", target=OTHER)]
    inputs = embed_inputs(flux, torch.zeros(1, 16, *SHAPE), texts, SIZE, Guidance(), 0)
    assert torch.equal(inputs.source_embeds.tokens, inputs.inversion_embeds.tokens)
    assert inputs.source_is_inversion == [False]
    assert not torch.equal(inputs.source_embeds.pooled, inputs.inversion_embeds.pooled)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_inside_a_call_alone(tiny_flux, flux, noise, precision):
    half = load_model(str(tiny_flux), precision=precision)
    assert half.vae.dtype == torch.float32
    assert {network.dtype for network in half.text_encoders.values()} == {half.transformer.dtype}
    assert {weight.dtype for weight in half.transformer.state_dict().values()} == {half.transformer.dtype}
    assert half.transformer.dtype != torch.float32
    text, found = flux.embed_prompts([PROMPT]), half.embed_prompts([PROMPT])
    assert all(part.dtype == torch.float32 for part in found.parts)
    expected, velocity = flux.predict(noise, 503.5, text, [0]), half.predict(noise, 503.5, found, [0])
    assert velocity.dtype == torch.float32
    assert 0 < (velocity - expected).abs().max() < 0.1 * expected.abs().max()


def test_it_passes_and_loads_and_is_known(model, tiny_flux):
    check_model_location(str(tiny_flux))
    loaded = load_model(str(tiny_flux))
    assert loaded.family is find_family(str(tiny_flux)) and loaded.family.name == "flux"
    assert {name: type(part).__name__ for name, part in loaded.text_encoders.items()} == {
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
    }
    for pipeline in ("FluxImg2ImgPipeline", "FluxInpaintPipeline"):
        change(model / "model_index.json", _class_name=pipeline)
        assert known_family(str(model)).name == "flux"
    (model / "model_index.json").unlink()
    assert known_family(str(model)).name == "flux"
    assert known_family("black-forest-labs/FLUX.1-dev").name == "flux"


def test_its_own_resolution_is_by_its_longest_sequence(flux, tiny_flux):
    sizes = image_sizes(str(tiny_flux))
    assert (sizes.native, sizes.multiple, sizes.largest) == (128, 16, None)
    assert (flux.native_resolution, flux.largest_resolution) == (128, None)
    assert replace(flux, scheduler={}).native_resolution == 1024


def test_the_schedule_depends_on_the_size(flux):
    common = CommonSettings(model="small", steps=4)
    small, large = (plan_schedule(flux, common, (side, side)) for side in (8, 16))
    assert small.sigmas[1] < large.sigmas[1]
    assert plan_schedule(flux, common) == large


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("transformer/config.json", {"in_channels": 384}, "in_channels 384, not 64"),
        ("transformer/config.json", {"pooled_projection_dim": 31}, "text_encoder/config.json hidden_size 32"),
        ("transformer/config.json", {"joint_attention_dim": 47}, "text_encoder_2/config.json d_model 48"),
        ("vae/config.json", {"shift_factor": None}, "no shift_factor: its latents are not those of FLUX.1"),
        ("scheduler/scheduler_config.json", {"time_shift_type": "linear"}, "time_shift_type linear"),
        ("scheduler/scheduler_config.json", {"use_karras_sigmas": True}, "use_karras_sigmas True"),
        ("scheduler/scheduler_config.json", {"max_image_seq_len": 16}, "not above base_image_seq_len 16"),
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": False, "shift": None}, "has no shift"),
    ],
)
def test_other_models_are_refused(model, file, values, said):
    change(model / file, **values)
    assert said in refused(model)


def test_it_cannot_do_without_t5(model):
    content = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**content, "text_encoder_2": [None, None]}))
    check_model_location(str(model))  # an index that names no T5 beside its files is not believed
    shutil.rmtree(model / "text_encoder_2")
    assert "text_encoder_2/config.json missing" in refused(model) and "[null, null]" not in refused(model)


@pytest.mark.parametrize(
    ("part", "name", "field"),
    [
        ("transformer", "x_embedder.weight", "in_channels"),
        ("transformer", "context_embedder.weight", "joint_attention_dim"),
        ("text_encoder_2", "shared.weight", "d_model"),
    ],
)
def test_weights_of_another_shape_than_the_config_says(model, part, name, field):
    tensors = load_file(weights(model, part))
    (key,) = [key for key in tensors if key.endswith(name)]
    tensors[key] = torch.cat([tensors[key]] * 2, dim=1)
    save_file(tensors, weights(model, part))
    assert field in refused(model) and f"{part}/" in refused(model)


def recipe_of(model, inversions=("euler",), **fields):
    return build_recipe(
        {"model": str(model), "inversions": list(inversions), "methods": ["plain"], "steps": 4, **fields},
        {},
        "test",
    )


def why(model, **fields):
    recipe = recipe_of(model, **fields)
    with pytest.raises(PiebenchError) as error:
        require_compatible(recipe.combination(*pair) for pair in recipe.pairs)
    return str(error.value)


def test_a_model_without_the_input_takes_no_scale(schnell, tiny_flux):
    said = why(schnell)
    assert "transformer/config.json says no guidance_embeds" in said and "guidance 7.5" in said
    assert "guidance 2" in why(schnell, guidance=1, source_guidance=2)
    assert "embedded_guidance 3" in why(
        schnell, guidance=4, guidance_policy="classifier_free", embedded_guidance=3
    )
    for fields in ({"guidance": 1}, {"guidance": 4, "guidance_policy": "classifier_free"}):
        recipe = recipe_of(schnell, **fields)
        require_compatible(recipe.combination(*pair) for pair in recipe.pairs)
    check_guidance_policy(str(tiny_flux), "auto", scales=[7.5])


def test_a_scale_beside_classifier_free_guidance_needs_it(tiny_flux, tiny_sd3):
    said = "is for models that take a guidance scale as an input beside guidance_policy=classifier_free"
    assert said in why(tiny_flux, embedded_guidance=2)
    assert said in why(tiny_sd3, embedded_guidance=2)
