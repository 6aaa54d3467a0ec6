"""The parts of the flow transformer's training that need no hours."""

import numpy as np
import pytest
import torch
from diffusers import SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from piebench_eval.demo.embedded import WEIGHTS
from scripts.demo_training import flow, package


@pytest.fixture
def transformer(monkeypatch):
    monkeypatch.setattr(flow, "LAYERS", 2)
    monkeypatch.setattr(flow, "HEADS", 1)
    return flow.new_transformer()


def inputs():
    torch.manual_seed(0)
    tokens = flow.CLIP_LENGTH + flow.T5_LENGTH
    return torch.randn(2, 4, 16, 16), torch.randn(2, tokens, 192), torch.randn(2, 128), torch.tensor([9, 900])


def test_it_begins_with_no_velocity(transformer):
    assert not transformer(*inputs(), return_dict=False)[0].any()


def test_attention_in_two_products_is_the_fused_one(transformer):
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    fused = transformer(*inputs(), return_dict=False)[0]
    transformer.set_attn_processor(flow.ExplicitAttention())
    torch.testing.assert_close(transformer(*inputs(), return_dict=False)[0], fused, rtol=1e-4, atol=1e-4)


def test_positions_are_learned_and_saved(transformer, tmp_path):
    table = transformer.pos_embed.pos_embed
    assert any(table is parameter for parameter in transformer.parameters())
    with torch.no_grad():
        table.fill_(0.25)
    transformer.save_pretrained(tmp_path)
    assert (SD3Transformer2DModel.from_pretrained(tmp_path).pos_embed.pos_embed == 0.25).all()


def test_times_are_one_of_each_quantile_of_a_logit_normal():
    drawn = np.sort(flow.sigmas(np.random.default_rng(0), 1000))
    assert (drawn[:500] < 0.5).all() and (drawn[500:] > 0.5).all()
    assert np.log(drawn / (1 - drawn)).std() == pytest.approx(1, abs=0.01)


def test_captions_are_embedded_as_the_package_embeds_them():
    from piebench_eval.models.loading import load_model

    folder = WEIGHTS / package.FLOW_FOLDER
    encoders = [
        CLIPTextModelWithProjection.from_pretrained(folder / name, dtype=torch.float32)
        for name in ("text_encoder", "text_encoder_2")
    ]
    captions = ["a red star on a gray background", ""]
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokens, pooled = flow.embed(encoders, tokenizer, captions, torch.device("cpu"))
    packaged = load_model(str(folder), t5_length=flow.T5_LENGTH).embed_prompts(captions)
    torch.testing.assert_close(packaged.tokens, tokens, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packaged.pooled, pooled, rtol=1e-4, atol=1e-4)


def test_a_work_folder_gets_what_it_lacks_alone(tmp_path):
    (tmp_path / "vae").mkdir()
    package.unpack(tmp_path)
    assert not list((tmp_path / "vae").iterdir())
    assert all((tmp_path / name / "config.json").is_file() for name in ("clip", "text_encoder"))
    assert (tmp_path / "tokenizer" / "merges.txt").is_file()
