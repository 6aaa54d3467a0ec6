import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from piebench_eval.demo.embedded import DEMO, DEMO_FLOW
from piebench_eval.errors import PiebenchError
from piebench_eval.models.deterministic import DeterministicLinear
from piebench_eval.models.device import resolve_device
from piebench_eval.models.loading import load_model, uses_deterministic_layers
from piebench_eval.models.location import check_model_location, model_fingerprint
from piebench_eval.models.nfe import EvaluationCounter


@pytest.fixture
def model_folder(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def test_a_complete_directory_and_a_hub_id_pass(tiny_model):
    check_model_location(str(tiny_model))
    check_model_location("CompVis/stable-diffusion-v1-4")


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "nowhere", "a/b/c"])
def test_paths_that_lead_nowhere(model):
    with pytest.raises(PiebenchError, match="no such directory"):
        check_model_location(model)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_is_named(model_folder, part):
    shutil.rmtree(model_folder / part)
    with pytest.raises(PiebenchError, match=part):
        check_model_location(str(model_folder))


def test_pickle_needs_consent(model_folder):
    weights = model_folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), model_folder / "unet" / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(PiebenchError, match="--allow-pickle"):
        check_model_location(str(model_folder))
    with pytest.raises(PiebenchError, match="unet"):
        load_model(str(model_folder))
    check_model_location(str(model_folder), allow_pickle=True)
    assert load_model(str(model_folder), allow_pickle=True).unet.config.in_channels == 4


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_broken_weights_are_named(model_folder, content):
    (model_folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    with pytest.raises(PiebenchError, match="vae"):
        load_model(str(model_folder))


@pytest.mark.parametrize(("part", "file"), [("unet", "diffusion_pytorch_model"), ("text_encoder", "model")])
def test_a_lacking_weight_is_refused_and_not_made_up(model_folder, part, file):
    weights = load_file(model_folder / part / f"{file}.safetensors")
    weights.pop(max(weights))
    save_file(weights, model_folder / part / f"{file}.safetensors", metadata={"format": "pt"})
    with pytest.raises(PiebenchError, match="no fitting weights"):
        load_model(str(model_folder))


def test_the_hubs_commit_is_known(tiny_model, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--someone--tiny"
    shutil.copytree(tiny_model, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert model_fingerprint("someone/tiny") == model_fingerprint("someone/tiny", "main") == commit
    assert model_fingerprint("someone/tiny", commit) == commit
    assert model_fingerprint("someone/other") is None


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_broken_configs_are_named(model_folder, content):
    (model_folder / "scheduler" / "scheduler_config.json").write_text(content)
    with pytest.raises(PiebenchError, match=r"scheduler_config\.json"):
        check_model_location(str(model_folder))


@pytest.mark.parametrize(
    ("field", "value"), [("in_channels", 9), ("cross_attention_dim", 48), ("time_cond_proj_dim", 8)]
)
def test_unets_of_other_families_are_refused(tiny_model, model_folder, field, value):
    unet = UNet2DConditionModel.from_config(
        {**UNet2DConditionModel.load_config(tiny_model / "unet"), field: value}
    )
    unet.save_pretrained(model_folder / "unet")
    with pytest.raises(PiebenchError, match=r"Stable Diffusion 1\.x"):
        load_model(str(model_folder))


def test_a_hub_id_without_network_gives_one_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read on import
    with pytest.raises(PiebenchError, match="nobody/nothing"):
        load_model("nobody/nothing")


def test_other_families_are_refused(model_folder):
    config = model_folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "v_prediction"}))
    with pytest.raises(PiebenchError, match="v_prediction"):
        check_model_location(str(model_folder))
    with pytest.raises(PiebenchError, match="v_prediction"):
        load_model(str(model_folder))


def test_fingerprint_follows_every_weight(model_folder):
    before = model_fingerprint(str(model_folder))
    assert before == model_fingerprint(str(model_folder))
    file = model_folder / "text_encoder" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert model_fingerprint(str(model_folder)) != before
    assert model_fingerprint("CompVis/stable-diffusion-v1-4") is None


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "xpu", ""])
def test_devices_that_are_not_there(device):
    with pytest.raises(PiebenchError, match="--device"):
        resolve_device(device)


def test_auto_finds_a_device():
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        (DEMO, None, True),
        (DEMO_FLOW, None, True),
        (DEMO, False, False),
        ("CompVis/stable-diffusion-v1-4", None, False),
        ("CompVis/stable-diffusion-v1-4", True, True),
    ],
)
def test_layers_are_deterministic_for_the_demo_and_where_asked(model, asked, expected):
    cpu = torch.device("cpu")
    assert uses_deterministic_layers(model, cpu, "fp32", asked) is expected
    assert uses_deterministic_layers(model, cpu, "bf16") is False
    assert uses_deterministic_layers(model, torch.device("cuda:0"), "fp32") is False


def test_a_model_is_loaded_with_plain_layers_or_deterministic_ones(tiny_model):
    for asked in (None, True):
        loaded = load_model(str(tiny_model), deterministic=asked)
        assert any(isinstance(layer, DeterministicLinear) for layer in loaded.unet.modules()) is bool(asked)


def test_there_are_deterministic_layers_for_float32_only(tiny_model):
    with pytest.raises(PiebenchError, match=r"--deterministic: .* not for bf16 on cpu"):
        load_model(str(tiny_model), precision="bf16", deterministic=True)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_for_the_unet_only(tiny_model, model, precision):
    half = load_model(str(tiny_model), precision=precision)
    assert half.unet.dtype != torch.float32 and half.vae.dtype == torch.float32
    latents, embeddings = torch.randn(1, 4, 16, 16), model.embed_prompts(["a cat"])
    noise = half.predict(latents, 1, half.embed_prompts(["a cat"]), [0])
    expected = model.predict(latents, 1, embeddings, [0])
    assert noise.dtype == torch.float32
    assert 0 < (noise - expected).abs().max() < 0.1 * expected.abs().max()


def test_images_survive_as_uint8(model):
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(2)]
    latents = model.encode_images(pictures)
    assert latents.shape == (2, 4, 8, 8)
    decoded = model.decode_latents(latents)
    assert decoded.shape == (2, 64, 64, 3) and decoded.dtype == np.uint8


def test_encoding_is_as_exact_as_double_precision(model):
    """A channels-last layout would lose three digits in the CPU's group norm."""
    from skimage.data import astronaut

    latents = model.encode_images([astronaut()])
    pixels = torch.from_numpy(astronaut()).permute(2, 0, 1)[None].double() / 127.5 - 1
    try:
        exact = model.vae.double().encode(pixels).latent_dist.mean * model.vae.config.scaling_factor
    finally:
        model.vae.float()
    assert (latents - exact).abs().max() < 1e-4


def test_rows_are_counted_forward_and_backward():
    tally = EvaluationCounter()
    noise = torch.ones(3, 2, requires_grad=True) * 2
    tally.count([0, 1, 1], noise)
    assert tally.forward == {0: 1, 1: 2} and not tally.backward
    noise.sum().backward()
    assert tally.backward == {0: 1, 1: 2}
    tally.count([0], torch.ones(1, 2))
    assert tally.forward == {0: 2, 1: 2} and tally.backward == {0: 1, 1: 2}
