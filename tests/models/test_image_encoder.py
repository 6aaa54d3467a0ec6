"""CLIP's image encoder: its tokens, what is refused, and what a run's sessions say of it."""

import shutil

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPTextConfig, CLIPVisionConfig

from piebench_eval.errors import PiebenchError
from piebench_eval.models.hub import require_hub
from piebench_eval.models.image_encoder import load_image_encoder
from piebench_eval.models.image_encoder_files import check_image_encoder, image_encoder_fingerprint
from piebench_eval.recipes.recipe import build_recipe
from piebench_eval.runs.plan import Selection
from piebench_eval.runs.store.folder import RunStore
from piebench_eval.runs.store.session_log import read_sessions
from tests.support.runs import digests, run
from tests.support.tiny_clip import save_tiny_image_encoder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tiny_image_encoder):
    return load_image_encoder(str(tiny_image_encoder), CPU)


def test_tokens_are_those_of_the_last_layer_under_the_final_norm(encoder):
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    tokens = encoder.tokens([picture, picture[::-1].copy()])
    assert tokens.shape == (2, 197, encoder.width)
    pixels = (torch.from_numpy(picture) / 255 - torch.tensor([0.48145466, 0.4578275, 0.40821073])) / (
        torch.tensor([0.26862954, 0.26130258, 0.27577711])
    )
    with torch.no_grad():
        pooled = encoder.network(pixel_values=pixels.permute(2, 0, 1)[None]).pooler_output
    torch.testing.assert_close(tokens[:1, 0], pooled, atol=1e-5, rtol=0)


def test_pictures_of_any_shape_are_cut_to_their_middle(encoder):
    picture = np.zeros((448, 600, 3), dtype=np.uint8)
    picture[:, 76:524] = 200  # all that is left
    whole = np.full((448, 448, 3), 200, dtype=np.uint8)
    torch.testing.assert_close(
        encoder.tokens([picture])[:, 50], encoder.tokens([whole])[:, 50], atol=1, rtol=0
    )
    assert encoder.tokens([picture]).shape == (1, 197, encoder.width)


def test_a_whole_clip_may_be_named(tmp_path):
    text = CLIPTextConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=32
    )
    config = CLIPModel.config_class(text_config=text.to_dict(), vision_config=vision.to_dict())
    CLIPModel(config).save_pretrained(tmp_path)
    assert load_image_encoder(str(tmp_path), CPU).width == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such directory, and not a hub id"), ("{folder}", "holds no weights; copy them")],
)
def test_what_cannot_be_an_encoder_is_refused(tmp_path, name, message):
    name = name.format(folder=tmp_path)
    with pytest.raises(PiebenchError, match=f"inversion.image_encoder {name}: {message}"):
        check_image_encoder(name)


def recipe_of(model, encoder, **settings):
    chosen = {"image_encoder": str(encoder), "inner_steps": 1, **settings}
    fields = {"model": str(model), "steps": 2, "methods": ["p2p"], "inversions": {"stylediffusion": chosen}}
    return build_recipe(fields, {}, "test")


def test_tokens_of_another_width_are_refused(tiny_model, photo_bench, tmp_path):
    folder = save_tiny_image_encoder(tmp_path / "wide", width=16)
    with pytest.raises(
        PiebenchError, match="its tokens are 16 wide, those of the model's text 32; give a CLIP"
    ):
        run(recipe_of(tiny_model, folder), photo_bench, tmp_path / "run", Selection(limit=1))


def test_a_plan_refuses_an_encoder_that_is_not_there(tiny_model, photo_bench, tmp_path):
    with pytest.raises(PiebenchError, match=r"inversion\.image_encoder nowhere: no such directory"):
        run(recipe_of(tiny_model, "nowhere"), photo_bench, tmp_path / "run", Selection(limit=1))


def test_a_run_is_gone_on_with_by_the_same_encoder_alone(
    tiny_model, tiny_image_encoder, photo_bench, samples, tmp_path
):
    folder = shutil.copytree(tiny_image_encoder, tmp_path / "clip")
    recipe, out, first = recipe_of(tiny_model, folder), tmp_path / "run", Selection(ids=(samples[0].id,))
    run(recipe, photo_bench, out, first)
    (session,) = read_sessions(out)
    fingerprint = image_encoder_fingerprint(str(folder))
    assert session["models"][str(folder)] == fingerprint
    of_workers = [worker["image_encoders"] for worker in session["workers"].values()]
    assert of_workers == [{str(folder): fingerprint}]
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x3f")
    with pytest.raises(PiebenchError, match="the files of the model"):
        run(recipe, photo_bench, out, Selection(ids=(samples[1].id,)))


@pytest.mark.slow  # what is resumed is no matter of the inversion
def test_a_run_in_two_parts_is_the_same_run(tiny_model, tiny_image_encoder, photo_bench, samples, tmp_path):
    recipe, two = recipe_of(tiny_model, tiny_image_encoder), Selection(ids=(samples[0].id, samples[1].id))
    for selection in (Selection(ids=(samples[0].id,)), two):
        run(recipe, photo_bench, tmp_path / "parts", selection)
    run(recipe, photo_bench, tmp_path / "whole", two)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert len(RunStore.read(tmp_path / "parts").records()) == 2


def test_an_encoder_that_would_have_to_be_downloaded_is_named(monkeypatch):
    monkeypatch.setattr("piebench_eval.models.hub.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://nowhere.invalid")
    with pytest.raises(PiebenchError, match=r"inversion.image_encoder nobody/clip: is not on this machine"):
        load_image_encoder("nobody/clip", CPU)
    with pytest.raises(PiebenchError, match="is not on this machine"):
        require_hub("inversion.image_encoder", "nobody/clip", "config.json")
