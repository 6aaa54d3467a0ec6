"""The embedded models, held against what their card says of them; on few scenes, so with some room."""

import json

import pytest

from piebench_eval.demo.embedded import DEMO, WEIGHTS
from piebench_eval.models.loading import load_model
from scripts.demo_training import measure, measure_flow
from scripts.demo_training.card import CARD
from scripts.demo_training.data import scene


@pytest.fixture(scope="module")
def model():
    return load_model(DEMO)


@pytest.fixture(scope="module")
def flow_model():
    return measure_flow.load_flow()


def test_they_are_small_and_safe():
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 30e6
    assert {file.suffix for file in files} <= {".json", ".txt", ".safetensors"}
    assert not any("_name_or_path" in file.read_text() for file in files if file.suffix == ".json")


def test_the_unet_has_stable_diffusions_sixteen_attention_blocks(model):
    blocks = [module for module in model.unet.modules() if type(module).__name__ == "BasicTransformerBlock"]
    assert len(blocks) == 16


def test_the_pipeline_names_stable_diffusions_classes():
    index = json.loads((WEIGHTS / "stable_diffusion" / "model_index.json").read_text())
    assert index["_diffusers_version"]  # without it, diffusers' inpainting pipeline fails with a KeyError
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    assert index["vae"] == ["diffusers", "AutoencoderKL"]
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    scheduler = json.loads((WEIGHTS / "stable_diffusion" / "scheduler" / "scheduler_config.json").read_text())
    assert (scheduler["beta_start"], scheduler["beta_end"]) == (0.00085, 0.012)
    assert scheduler["beta_schedule"] == "scaled_linear"


def test_the_autoencoder_keeps_drawings(model):
    assert measure.autoencoder_psnr(model, [scene("held-out", index) for index in range(30)]) > 32


@pytest.mark.slow  # the weights do not change
def test_inversion_comes_back(model):
    assert measure.inversion_psnr(model, [scene("held-out", index) for index in range(3)]) > 40


@pytest.mark.slow  # likewise
def test_samples_show_what_was_asked_for(model):
    assert measure.sampled_right(model, 24)["all three"] >= 0.8


@pytest.mark.slow  # likewise
def test_samples_of_the_flow_show_what_was_asked_for(flow_model):
    assert measure_flow.flow_right(flow_model, 24)["all three"] >= 0.8


@pytest.mark.slow  # likewise
def test_solvers_of_second_order_come_back_nearer_along_the_flow(flow_model):
    scenes = [scene("held-out", index) for index in range(3)]
    euler, midpoint, fireflow = (
        measure_flow.inverted(flow_model, scenes, *way)
        for way in (("euler", 24), ("midpoint", 12), ("fireflow", 24))
    )
    assert (euler.evaluations, midpoint.evaluations, fireflow.evaluations) == (48, 48, 50)
    assert midpoint.psnr > euler.psnr + 3 and fireflow.psnr > euler.psnr + 3


def test_the_flow_transformer_is_of_stable_diffusion_3s_classes():
    index = json.loads((WEIGHTS / "stable_diffusion_3" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusion3Pipeline"
    assert index["transformer"] == ["diffusers", "SD3Transformer2DModel"]
    assert index["text_encoder_3"] == [None, None]


def test_clip_knows_captions():
    assert measure.clip_retrieval([scene("held-out", index) for index in range(40)]) > 0.9


def test_the_card_says_what_was_measured():
    card = CARD.read_text()
    for what in ("autoencoder PSNR", "all three right, sampled", "inversion PSNR", "Licence", "midpoint"):
        assert what in card
