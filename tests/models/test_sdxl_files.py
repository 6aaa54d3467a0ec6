"""What the files of an SDXL model say before any weight is read, and how they load."""

import shutil

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file

from piebench_eval.errors import PiebenchError
from piebench_eval.models.loading import load_model
from piebench_eval.models.location import check_model_location, find_family, model_fingerprint
from piebench_eval.warning_filters import ignored_warnings
from tests.support.model_files import COMMIT, change, in_hubs_cache, refused, weights

PARTS = ["unet", "vae", "text_encoder", "text_encoder_2"]


@pytest.fixture
def model(tiny_sdxl, tmp_path):
    return shutil.copytree(tiny_sdxl, tmp_path / "model")


def test_it_passes_and_loads(tiny_sdxl):
    check_model_location(str(tiny_sdxl))
    model = load_model(str(tiny_sdxl))
    assert type(model.text_encoder_2).__name__ == "CLIPTextModelWithProjection"
    assert model.family is find_family(str(tiny_sdxl)) and model.family.name == "sdxl"


def test_it_is_known_by_its_parts_where_there_is_no_index(model):
    (model / "model_index.json").unlink()
    assert find_family(str(model)).name == "sdxl"
    assert load_model(str(model)).zeros_for_empty_prompt


def test_the_index_says_what_unconditional_rows_are(model):
    before = model_fingerprint(str(model))
    change(model / "model_index.json", force_zeros_for_empty_prompt=False)
    assert not load_model(str(model)).zeros_for_empty_prompt
    assert model_fingerprint(str(model)) != before


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2", "text_encoder", "tokenizer"])
def test_a_missing_part_is_named(model, part):
    shutil.rmtree(model / part)
    assert f"{part}/" in refused(model)


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("unet", "addition_embed_type", None, "text_time"),
        ("unet", "addition_embed_type", "image", "image"),
        ("unet", "cross_attention_dim", 24, "hidden_size 16 and 24"),
        ("unet", "projection_class_embeddings_input_dim", 100, "make 72"),
        ("unet", "projection_class_embeddings_input_dim", 64, "refiner"),
        ("unet", "time_cond_proj_dim", 32, "consistency"),
        ("unet", "in_channels", 9, "inpainting"),
        ("unet", "in_channels", 8, "InstructPix2Pix"),
        ("text_encoder_2", "architectures", ["CLIPTextModel"], "CLIPTextModelWithProjection"),
        ("text_encoder_2", "model_type", "t5", "t5"),
        ("text_encoder_2", "hidden_act", "relu", "hidden_act"),
        ("vae", "latents_mean", [0.0] * 4, "latents_mean"),
        ("scheduler", "prediction_type", "v_prediction", "v_prediction"),
        ("scheduler", "_class_name", "EDMEulerScheduler", "EDM"),
    ],
)
def test_other_models_are_known_by_their_configs(model, part, field, value, said):
    name = "scheduler_config" if part == "scheduler" else "config"
    change(model / part / f"{name}.json", **{field: value})
    message = refused(model)
    assert said in message and f"{part}/{name}.json" in message and "Stable Diffusion XL model" in message


def test_the_refiner_is_called_by_its_name(model):
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(model / part)
    index = {"_class_name": "StableDiffusionXLImg2ImgPipeline", "requires_aesthetics_score": True}
    change(model / "model_index.json", **index, text_encoder=[None, None], tokenizer=[None, None])
    assert "refiner" in refused(model) and "stable-diffusion-xl-base-1.0" in refused(model)


def test_the_refiner_in_the_hubs_cache_is_called_by_its_name(model, tmp_path, monkeypatch):
    change(model / "model_index.json", text_encoder=[None, None])
    name = in_hubs_cache(model, tmp_path, monkeypatch)
    assert "refiner" in refused(name)
    with pytest.raises(PiebenchError, match="refiner"):
        load_model(name)


def test_a_hub_id_is_known_and_checked_by_what_the_cache_has(model, tmp_path, monkeypatch):
    change(model / "text_encoder_2" / "config.json", architectures=["CLIPTextModel"])
    name = in_hubs_cache(model, tmp_path, monkeypatch)
    assert find_family(name).name == "sdxl"
    assert "CLIPTextModelWithProjection" in refused(name)
    assert model_fingerprint(name) == COMMIT


@pytest.mark.parametrize(
    ("part", "name", "axis", "field"),
    [
        ("text_encoder_2", "text_projection.weight", 0, "projection_dim"),
        ("text_encoder_2", "text_model.embeddings.token_embedding.weight", 1, "hidden_size"),
        ("unet", "add_embedding.linear_1.weight", 1, "projection_class_embeddings_input_dim"),
    ],
)
def test_weights_of_another_shape_than_the_config_says(model, part, name, axis, field):
    tensors = load_file(weights(model, part))
    (key,) = [key for key in tensors if name.endswith(key) or key.endswith(name)]
    tensors[key] = torch.cat([tensors[key]] * 2, dim=axis)
    save_file(tensors, weights(model, part))
    assert field in refused(model) and f"{part}/" in refused(model)


def test_a_second_text_encoder_without_projection_is_refused_and_not_made_up(model):
    tensors = load_file(weights(model, "text_encoder_2"))
    del tensors["text_projection.weight"]
    save_file(tensors, weights(model, "text_encoder_2"), metadata={"format": "pt"})
    with pytest.raises(PiebenchError, match=r"text_encoder_2.*no fitting weights for text_projection"):
        load_model(str(model))


@pytest.mark.parametrize("part", PARTS)
def test_pickle_needs_consent_in_every_part(model, part):
    torch.save(load_file(weights(model, part)), model / part / f"{weights(model, part).stem}.bin")
    weights(model, part).unlink()
    assert "--allow-pickle" in refused(model) and f"{part}/" in refused(model)


@pytest.mark.parametrize("part", PARTS)
def test_a_download_that_was_cut_off(model, part):
    content = weights(model, part).read_bytes()
    weights(model, part).write_bytes(content[:-1])
    assert "cut off" in refused(model) and f"{part}/" in refused(model)


def test_a_vocabulary_that_is_not_the_second_encoders(model):
    change(model / "text_encoder_2" / "config.json", vocab_size=100)
    assert "tokens" in refused(model)
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (model / "tokenizer_2" / name).unlink(missing_ok=True)
    assert "tokenizer_2" in refused(model) and "no vocabulary" in refused(model)


def test_prompts_longer_than_the_second_encoder_reads(model):
    change(model / "tokenizer_2" / "tokenizer_config.json", model_max_length=100)
    with pytest.raises(PiebenchError, match=r"tokenizer_2/tokenizer_config\.json says model_max_length 100"):
        load_model(str(model))


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_load_and_count(tiny_sdxl, sdxl, tmp_path, variant):
    """The UNet as diffusers saves large ones: in several files and an index."""
    with ignored_warnings():
        pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl)
        pipeline.save_pretrained(tmp_path, variant=variant, max_shard_size="300KB")
    shards = sorted((tmp_path / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    check_model_location(str(tmp_path))
    loaded = load_model(str(tmp_path)).unet.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in sdxl.unet.state_dict().items())
    before = model_fingerprint(str(tmp_path))
    content = bytearray(shards[-1].read_bytes())
    content[-1] ^= 1
    shards[-1].write_bytes(content)
    assert model_fingerprint(str(tmp_path)) != before
    shards[-1].unlink()
    assert shards[-1].name in refused(tmp_path)


@pytest.mark.parametrize("part", ["text_encoder_2", "tokenizer_2"])
def test_the_fingerprint_follows_the_second_encoder_and_its_tokenizer(model, part):
    before = model_fingerprint(str(model))
    with max((model / part).iterdir(), key=lambda file: file.stat().st_size).open("ab") as file:
        file.write(b" ")
    assert model_fingerprint(str(model)) != before


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_leaves_the_autoencoder_alone(tiny_sdxl, sdxl, precision):
    """Its force_upcast says that it overflows in float16; here it always has float32."""
    half = load_model(str(tiny_sdxl), precision=precision)
    assert sdxl.vae.config.force_upcast and half.vae.dtype == torch.float32
    assert {network.dtype for network in half.text_encoders.values()} == {half.unet.dtype} != {torch.float32}
    latents, embeddings = torch.randn(1, 4, 16, 16), sdxl.embed_prompts(["a cat"])
    found = half.embed_prompts(["a cat"])
    assert all(part.dtype == torch.float32 for part in found.parts)
    noise, expected = half.predict(latents, 1, found, [0]), sdxl.predict(latents, 1, embeddings, [0])
    assert noise.dtype == torch.float32
    assert 0 < (noise - expected).abs().max() < 0.1 * expected.abs().max()
