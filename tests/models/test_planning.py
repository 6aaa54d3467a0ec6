"""What the files of a model say before any weight is read."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from piebench_eval.cli.app import app
from piebench_eval.errors import PiebenchError
from piebench_eval.models.loading import load_model
from piebench_eval.models.location import check_model_location
from tests.support.model_files import change, in_hubs_cache, refused, weights

FILES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


@pytest.fixture
def model(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize(
    ("part", "field", "value", "said"),
    [
        ("unet", "addition_embed_type", "text_time", "XL"),
        ("unet", "in_channels", 9, "inpainting"),
        ("unet", "in_channels", 8, "InstructPix2Pix"),
        ("unet", "time_cond_proj_dim", 32, "consistency"),
        ("unet", "cross_attention_dim", 1024, "hidden_size 32"),
        ("unet", "class_embed_type", "projection", "class_embed_type"),
        ("unet", "_class_name", "UNet3DConditionModel", "UNet3DConditionModel"),
        ("vae", "latent_channels", 16, "latent_channels"),
        ("text_encoder", "model_type", "t5", "t5"),
        ("text_encoder", "hidden_act", "relu", "hidden_act"),
    ],
)
def test_other_families_are_known_by_their_configs(model, part, field, value, said):
    change(model / part / "config.json", **{field: value})
    message = refused(model)
    assert said in message and f"{part}/config.json" in message and "Stable Diffusion 1.x" in message


@pytest.mark.parametrize("dry", [True, False])
def test_a_run_is_refused_at_planning(model, photo_bench, tmp_path, monkeypatch, dry):
    change(model / "unet" / "config.json", addition_embed_type="text_time")
    monkeypatch.setattr("piebench_eval.models.loading.load_model", None)
    combination = ["--inversion", "ddim", "--method", "p2p"]
    command = ["run", *combination, "--data", str(photo_bench), "--model", str(model)]
    command += ["--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*command, *["--dry-run"][:dry]])
    assert result.exit_code == 2 and "addition_embed_type" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["to_q.lora_A.default.weight", "to_q.base_layer.weight"])
def test_a_lora_inside_the_weights_is_named(model, name):
    tensors = load_file(weights(model, "unet"))
    save_file({**tensors, f"mid_block.{name}": torch.zeros(4, 4)}, weights(model, "unet"))
    assert "LoRA" in refused(model) and "fuse_lora" in refused(model)


def test_a_folder_of_a_lora_alone(tmp_path):
    save_file({"unet.x.lora_A.weight": torch.zeros(4, 4)}, tmp_path / "pytorch_lora_weights.safetensors")
    assert "holds a LoRA, and no model" in refused(tmp_path)


def test_a_checkpoint_in_one_file(tmp_path):
    save_file({"model.diffusion_model.x": torch.zeros(4, 4)}, tmp_path / "model.safetensors")
    message = refused(tmp_path / "model.safetensors")
    assert "is a file" in message and "convert" in message


def test_weights_of_another_shape_than_the_config_says(model):
    tensors = load_file(weights(model, "unet"))
    tensors["conv_in.weight"] = torch.zeros(16, 9, 3, 3)
    save_file(tensors, weights(model, "unet"))
    assert "in_channels 4" in refused(model) and "have 9" in refused(model)


@pytest.mark.parametrize("part", FILES)
def test_a_download_that_was_cut_off(model, part):
    content = weights(model, part).read_bytes()
    weights(model, part).write_bytes(content[:-1])
    assert "cut off" in refused(model) and part in refused(model)


def test_a_pointer_in_the_place_of_weights(model):
    weights(model, "unet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "no safetensors file" in refused(model)


def test_shards_that_are_not_there(model):
    weights(model, "unet").unlink()
    index = model / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "diffusion_pytorch_model-00001-of-00002.safetensors"}}))
    (model / "unet" / "other.safetensors").touch()
    assert "00001-of-00002" in refused(model)


def test_weights_of_half_precision_by_name_load(model):
    for part, name in FILES.items():
        weights(model, part).rename(model / part / f"{name}.fp16.safetensors")
    check_model_location(str(model))
    assert load_model(str(model)).unet.dtype == torch.float32


def test_plain_weights_are_taken_where_both_are_there(model):
    for part, name in FILES.items():
        (model / part / f"{name}.fp16.safetensors").write_bytes(b"not read")
    check_model_location(str(model))


def test_weights_of_another_name_are_named(model):
    weights(model, "unet").rename(model / "unet" / "diffusion_pytorch_model.ema.safetensors")
    assert "has no diffusion_pytorch_model.safetensors" in refused(model)


def test_a_model_of_another_kind_is_called_by_its_name(model):
    shutil.rmtree(model / "unet")
    (model / "model_index.json").write_text(json.dumps({"_class_name": "Flux2Pipeline"}))
    assert "Flux2Pipeline" in refused(model) and "convert" not in refused(model)
    (model / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert "transformer/config.json" in refused(model) and "convert" not in refused(model)


def test_what_the_hubs_cache_has_is_checked(model, tmp_path, monkeypatch):
    change(model / "unet" / "config.json", in_channels=9)
    name = in_hubs_cache(model, tmp_path, monkeypatch)
    with pytest.raises(PiebenchError, match="inpainting"):
        check_model_location(name)
