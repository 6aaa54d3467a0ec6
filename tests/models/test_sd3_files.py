"""What the files of a Stable Diffusion 3 model say before any weight is read, and how they load."""

import json
import logging
import shutil

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from safetensors.torch import load_file, save_file

from piebench_eval.errors import PiebenchError
from piebench_eval.models.loading import load_model
from piebench_eval.models.location import (
    check_model_location,
    find_family,
    image_sizes,
    known_family,
    model_fingerprint,
)
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.batch_editing import working_resolution
from piebench_eval.runs.plan import check_resolutions
from piebench_eval.warning_filters import ignored_warnings
from tests.support.model_files import COMMIT, change, in_hubs_cache, refused, weights

PARTS = ["transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
TOKENIZERS = ["tokenizer", "tokenizer_2", "tokenizer_3"]


@pytest.fixture
def model(tiny_sd3, tmp_path):
    return shutil.copytree(tiny_sd3, tmp_path / "model")


def drop_t5(model):
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(model / part)


def test_it_passes_and_loads(tiny_sd3):
    check_model_location(str(tiny_sd3))
    model = load_model(str(tiny_sd3))
    assert model.family is find_family(str(tiny_sd3)) and model.family.name == "sd3"
    assert {name: type(part).__name__ for name, part in model.text_encoders.items()} == {
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel",
    }
    assert model.scheduler["shift"] == 3.0 and not model.alphas_cumprod


def test_weights_that_were_not_downloaded_are_no_pickles(model):
    (model / "text_encoder_3" / "model.safetensors").unlink()
    with pytest.raises(PiebenchError) as caught:
        check_model_location(str(model))
    wanted = "text_encoder_3/ holds no weights; copy them from where the model comes from"
    assert str(caught.value) == f"--model {model}: {wanted}"


def test_it_loads_without_a_word(tiny_sd3, caplog):
    library = logging.getLogger("diffusers")
    library.addHandler(caplog.handler)
    load_model(str(tiny_sd3))
    library.removeHandler(caplog.handler)
    assert caplog.text == ""


@pytest.mark.parametrize(
    "pipeline",
    ["StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"],
)
def test_it_is_known_by_every_pipeline_that_it_is_saved_from(model, pipeline):
    change(model / "model_index.json", _class_name=pipeline)
    assert known_family(str(model)).name == "sd3"


def test_it_is_known_by_its_parts_where_there_is_no_index(model):
    (model / "model_index.json").unlink()
    assert find_family(str(model)).name == "sd3"
    assert load_model(str(model)).text_encoder_3 is not None
    drop_t5(model)
    assert load_model(str(model)).text_encoder_3 is None


def test_sizes_are_multiples_of_its_patches(tiny_sd3):
    sizes = image_sizes(str(tiny_sd3))
    assert (sizes.native, sizes.multiple) == (128, 16)


def test_an_index_may_say_that_there_is_no_t5(model):
    before = model_fingerprint(str(model))
    change(model / "model_index.json", text_encoder_3=[None, None])  # its tokenizer may be left
    assert load_model(str(model)).text_encoder_3 is None
    assert model_fingerprint(str(model)) != before
    change(model / "model_index.json", tokenizer_3=[None, None])
    drop_t5(model)
    assert len(load_model(str(model)).embed_prompts(["a cat"]).tokens[0]) == 77 + 256


def test_another_number_of_channels_is_right_where_autoencoder_and_transformer_agree(model):
    change(model / "vae" / "config.json", latent_channels=4)
    change(model / "transformer" / "config.json", in_channels=4, out_channels=4)
    assert "the weights in transformer/ have 16" in refused(model)  # the configurations are not at fault
    change(model / "transformer" / "config.json", out_channels=8)
    assert "out_channels 8, not 4" in refused(model)


@pytest.mark.parametrize("part", [*PARTS, *TOKENIZERS])
def test_a_missing_part_is_named(model, part):
    shutil.rmtree(model / part)
    message = refused(model)
    assert f"{part}/" in message
    assert ("[null, null]" in message) == part.endswith("3")


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("transformer", "_class_name", "FluxTransformer2DModel", "not SD3Transformer2DModel"),
        ("transformer", "in_channels", 33, "in_channels 33"),
        ("transformer", "patch_size", 1, "patch_size 1"),
        ("transformer", "joint_attention_dim", 64, "text_encoder_3/config.json d_model 48"),
        ("transformer", "joint_attention_dim", 32, "hidden_size 16 and 24"),
        ("transformer", "pooled_projection_dim", 41, "projection_dim 16 and 24"),
        ("text_encoder", "architectures", ["CLIPTextModel"], "CLIPTextModelWithProjection"),
        ("text_encoder_2", "architectures", ["CLIPTextModel"], "CLIPTextModelWithProjection"),
        ("text_encoder_3", "model_type", "clip_text_model", "not T5's"),
        ("text_encoder", "model_type", "t5", "not CLIP's"),
        ("vae", "latent_channels", 4, "latent_channels 4, not 16"),
        ("vae", "latents_mean", [0.0] * 16, "latents_mean"),
        ("vae", "shift_factor", None, "no shift_factor"),
        ("scheduler", "_class_name", "DDIMScheduler", "not FlowMatchEulerDiscreteScheduler"),
        ("scheduler", "shift", None, "no shift"),
        ("scheduler", "shift", 0, "shift 0"),
        ("scheduler", "use_dynamic_shifting", True, "use_dynamic_shifting"),
        ("scheduler", "use_karras_sigmas", True, "use_karras_sigmas"),
        ("scheduler", "num_train_timesteps", 500, "num_train_timesteps 500"),
    ],
)
def test_other_models_are_known_by_their_configs(model, part, field, value, said):
    name = "scheduler_config" if part == "scheduler" else "config"
    change(model / part / f"{name}.json", **{field: value})
    message = refused(model)
    assert said in message and f"{part}/{name}.json" in message and "Stable Diffusion 3 model" in message


def test_flux_is_not_taken_for_it(model):
    """FLUX has a transformer, CLIP and T5 too: in other places."""
    drop_t5(model)
    change(model / "transformer" / "config.json", _class_name="Flux2Transformer2DModel")
    change(model / "model_index.json", _class_name="Flux2Pipeline", text_encoder_3=None)
    message = refused(model)
    assert "Flux2Transformer2DModel" in message and "stable-diffusion-3-medium-diffusers" in message
    change(model / "transformer" / "config.json", _class_name="FluxTransformer2DModel")
    change(model / "model_index.json", _class_name="FluxPipeline")
    message = refused(model)
    assert "text_encoder_2/config.json says model_type clip" in message and "FLUX.1-dev" in message


def test_another_transformers_pipeline_is_called_by_its_name(model):
    for part in ("text_encoder_2", "tokenizer_2"):
        shutil.rmtree(model / part)
    change(model / "model_index.json", _class_name="PixArtAlphaPipeline")
    assert "model_index.json says PixArtAlphaPipeline" in refused(model)


def test_a_hub_id_is_known_and_checked_by_what_the_cache_has(model, tmp_path, monkeypatch):
    name = in_hubs_cache(model, tmp_path, monkeypatch)
    assert find_family(name).name == "sd3" and model_fingerprint(name) == COMMIT
    check_model_location(name)
    assert image_sizes(name).multiple == 16
    cached = tmp_path / "models--someone--tiny" / "snapshots" / COMMIT
    change(cached / "scheduler" / "scheduler_config.json", shift=None)
    assert "no shift" in refused(name)


def test_a_hub_id_loads_from_the_cache_without_network(model, tmp_path, monkeypatch):
    name = in_hubs_cache(model, tmp_path, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_model(name).text_encoder_3 is not None


@pytest.mark.parametrize(
    ("part", "name", "axis", "field"),
    [
        ("transformer", "context_embedder.weight", 1, "joint_attention_dim"),
        ("transformer", "pos_embed.proj.weight", 1, "in_channels"),
        ("transformer", "text_embedder.linear_1.weight", 1, "pooled_projection_dim"),
        ("text_encoder_3", "shared.weight", 1, "d_model"),
        ("text_encoder_3", "shared.weight", 0, "vocab_size"),
    ],
)
def test_weights_of_another_shape_than_the_config_says(model, part, name, axis, field):
    tensors = load_file(weights(model, part))
    (key,) = [key for key in tensors if key.endswith(name)]
    tensors[key] = torch.cat([tensors[key]] * 2, dim=axis)
    save_file(tensors, weights(model, part))
    assert field in refused(model) and f"{part}/" in refused(model)


@pytest.mark.parametrize("part", PARTS)
def test_a_download_that_was_cut_off(model, part):
    content = weights(model, part).read_bytes()
    weights(model, part).write_bytes(content[:-1])
    assert "cut off" in refused(model) and f"{part}/" in refused(model)


def test_t5_in_several_files_loads_and_counts(tiny_sd3, model_of, tmp_path):
    """As T5-XXL is published."""
    with ignored_warnings():
        pipeline = StableDiffusion3Pipeline.from_pretrained(tiny_sd3)
        pipeline.save_pretrained(tmp_path, max_shard_size="60KB")
    shards = sorted((tmp_path / "text_encoder_3").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    check_model_location(str(tmp_path))
    found, expected = load_model(str(tmp_path)), model_of("sd3")
    assert found.embed_prompts(["a cat"]).equals(expected.embed_prompts(["a cat"]))
    before = model_fingerprint(str(tmp_path))
    content = bytearray(shards[-1].read_bytes())
    content[-1] ^= 1
    shards[-1].write_bytes(content)
    assert model_fingerprint(str(tmp_path)) != before
    shards[-1].unlink()
    assert shards[-1].name in refused(tmp_path)


def test_a_vocabulary_that_is_not_t5s(model):
    folder = model / "tokenizer_3"
    change(folder / "tokenizer_config.json", tokenizer_class="CLIPTokenizer")
    assert "not T5's" in refused(model)
    change(folder / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    change(model / "text_encoder_3" / "config.json", vocab_size=50)
    assert "tokens that the text encoder, of 50 tokens" in refused(model)


def test_sentencepieces_file_alone_is_named(model, monkeypatch):
    whole = model / "tokenizer_3" / "tokenizer.json"
    whole.unlink()
    assert "no vocabulary: spiece.model missing" in refused(model)
    (model / "tokenizer_3" / "spiece.model").write_bytes(b"")
    monkeypatch.setattr("piebench_eval.models.vocabulary.find_spec", lambda name: None)
    assert "tokenizer.json" in refused(model) and "pip install sentencepiece" in refused(model)


def test_a_vocabulary_without_words_is_found_by_two_of_them(model):
    whole = model / "tokenizer_3" / "tokenizer.json"
    content = json.loads(whole.read_text())
    names = [piece for piece, _ in content["model"]["vocab"]]
    content["model"]["vocab"] = [
        [piece if place < 3 else f"<{place}>", -1.0] for place, piece in enumerate(names)
    ]
    whole.write_text(json.dumps(content))
    with pytest.raises(PiebenchError, match="does not tell words apart"):
        load_model(str(model))


@pytest.mark.parametrize("part", ["text_encoder_3", "tokenizer_3", "text_encoder"])
def test_the_fingerprint_follows_every_encoder_and_tokenizer(model, part):
    before = model_fingerprint(str(model))
    with max((model / part).iterdir(), key=lambda file: file.stat().st_size).open("ab") as file:
        file.write(b" ")
    assert model_fingerprint(str(model)) != before


def test_a_length_that_clip_has_no_positions_for(tiny_sd3):
    with pytest.raises(PiebenchError, match=r"clip_length=78, .*text_encoder/config\.json.*_embeddings 77;"):
        load_model(str(tiny_sd3), clip_length=78)


def test_lengths_of_a_model_without_t5s_tokens(tiny_model):
    with pytest.raises(PiebenchError, match=r"t5_length=64: Stable Diffusion 1\.x has no T5"):
        load_model(str(tiny_model), t5_length=64)


def test_resolutions_are_multiples_of_its_patches_and_within_its_positions(tiny_sd3, model_of):
    def recipe(resolution):
        fields = {"model": str(tiny_sd3), "inversions": ["euler"], "methods": ["plain"]}
        return build_recipe(fields, {"resolution": resolution}, "test")

    for resolution in (112, 128):  # a UNet would want multiples of 64
        check_resolutions(recipe(resolution))
        assert working_resolution(model_of("sd3"), resolution) == resolution
    for resolution, said in ((120, "multiple of 16"), (144, "positions for 128 pixels")):
        with pytest.raises(PiebenchError, match=said):
            check_resolutions(recipe(resolution))
        with pytest.raises(PiebenchError, match=said):
            working_resolution(model_of("sd3"), resolution)
