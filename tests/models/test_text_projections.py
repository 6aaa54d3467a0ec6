"""Keys and values of a text are projected once, and anew as soon as anything that they come from changes."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from piebench_eval.diffusion.controller import AttentionController
from piebench_eval.diffusion.loop import edit
from piebench_eval.diffusion.rows import GuidedBranches, Row, RowBatch, SourceReads, plan_rows
from piebench_eval.diffusion.schedules import ddim_schedule
from piebench_eval.inversions import INVERSIONS
from piebench_eval.models.conditioning import Conditioning
from piebench_eval.models.deterministic import DeterministicLinear, use_deterministic_layers
from piebench_eval.models.text_projections import (
    RememberingDeterministicLinear,
    RememberingLinear,
    _Known,
    remember_text_projections,
)
from piebench_eval.runs.batch_editing import encode_inputs


@pytest.fixture
def tokens():
    return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def layer():
    return RememberingLinear(8, 6, bias=False)


@torch.no_grad()
def test_the_same_tokens_are_projected_once(layer, tokens):
    assert layer(tokens) is layer(tokens)
    assert torch.equal(layer(tokens), nn.functional.linear(tokens, layer.weight))
    assert layer(tokens.clone()) is not layer(tokens)


@torch.no_grad()
@pytest.mark.parametrize("what", ["tokens", "weight", "output", "another weight"])
def test_what_has_changed_is_projected_anew(layer, tokens, what):
    before = layer(tokens)
    if what == "another weight":
        layer.weight = nn.Parameter(layer.weight + 1)
    else:
        {"tokens": tokens, "weight": layer.weight, "output": before}[what].add_(1)
    assert torch.equal(layer(tokens), nn.functional.linear(tokens, layer.weight))


def test_nothing_is_remembered_where_gradients_are_computed(layer, tokens):
    assert layer(tokens) is not layer(tokens)
    tokens.requires_grad_()
    layer(tokens).sum().backward()
    layer(tokens).sum().backward()
    torch.testing.assert_close(tokens.grad[0, 0], 2 * layer.weight.sum(0))
    with torch.no_grad():
        assert not layer(tokens).requires_grad
    with torch.inference_mode():
        assert layer(tokens.detach().clone()).shape == (2, 5, 6)


@torch.no_grad()
def test_what_is_made_in_inference_mode_is_projected_anew(layer, tokens):
    """PyTorch does not count what is written to it."""
    with torch.inference_mode():
        tokens = tokens.clone()
    before = layer(tokens)
    with torch.inference_mode():
        tokens.add_(1)
    assert torch.equal(layer(tokens), nn.functional.linear(tokens, layer.weight))
    assert not torch.equal(layer(tokens), before)


@torch.no_grad()
def test_tokens_that_are_gone_are_not_taken_for_others(layer):
    for seed in range(20):
        fresh = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(layer(fresh), nn.functional.linear(fresh, layer.weight))


@torch.no_grad()
def test_a_copy_remembers_nothing_of_the_other(layer, tokens):
    layer(tokens)
    other = copy.deepcopy(layer)
    other.weight.add_(1)
    assert torch.equal(other(tokens), nn.functional.linear(tokens, other.weight))


@torch.no_grad()
@pytest.mark.parametrize(
    ("deterministic", "kind"), [(False, RememberingLinear), (True, RememberingDeterministicLinear)]
)
def test_a_unet_makes_the_same_of_a_text(model, tiny_model, deterministic, kind):
    unet = UNet2DConditionModel.from_pretrained(tiny_model, subfolder="unet").eval()
    if deterministic:
        use_deterministic_layers(unet)
    inputs = (torch.randn(1, 4, 16, 16), 500, model.embed_prompts(["a cat"]).tokens)
    expected, names = unet(*inputs).sample, set(unet.state_dict())
    remember_text_projections(unet)
    assert torch.equal(unet(*inputs).sample, expected)
    assert torch.equal(unet(*inputs).sample, expected)
    assert set(unet.state_dict()) == names
    layers = [module for module in unet.modules() if type(module) is kind]
    texts = [name for name in unet.attn_processors if ".attn2." in name]
    assert len(layers) == 2 * len(texts) > 0
    assert isinstance(layers[0], DeterministicLinear) == deterministic


def test_a_loaded_unet_remembers(model):
    assert sum(isinstance(module, RememberingLinear) for module in model.unet.modules()) > 0


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_steps_of_an_edit_project_a_text_once(model_of, samples, monkeypatch, family):
    """One text inverts, and one batch of texts is edited by; another edit has others."""
    model, made, steps, of = model_of(family), [], 3, _Known.of
    monkeypatch.setattr(_Known, "of", lambda *given: made.append(given) or of(*given))
    schedule, ddim = ddim_schedule(model.alphas_cumprod, steps), INVERSIONS.get("ddim")
    inputs = encode_inputs(model, samples[:1], 64)
    inverted = ddim.invert(model, inputs, schedule, ddim.settings())
    layers = sum(isinstance(module, RememberingLinear) for module in model.denoiser.modules())
    assert len(made) == layers > 0
    edit(model, inputs, inverted, AttentionController(1), schedule)
    assert len(made) == 2 * layers


def test_steps_with_the_same_texts_have_the_same_tensor():
    step = plan_rows([SourceReads(cond=True)], True, GuidedBranches(True, True))[0]
    rows = RowBatch.of_step([step, step])
    source, target, uncond, tuned = (Conditioning(torch.full((2, 3, 4), float(n))) for n in range(4))

    def texts(of_uncond):
        kinds = [uncond, source, of_uncond, target, uncond, source]
        return rows.texts(dict(zip(type(next(iter(rows.samples_by_row))), kinds, strict=True)))

    assert texts(uncond).tokens is texts(uncond).tokens
    assert texts(tuned).tokens[2].eq(3).all()
    assert texts(uncond).tokens[2].eq(2).all()
    half = texts(uncond).tokens_as(torch.bfloat16)
    assert half is texts(uncond).tokens_as(torch.bfloat16)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_text_that_has_been_written_to_is_another(dtype):
    step = plan_rows([SourceReads(cond=True)], True, GuidedBranches(True, True))[0]
    text = Conditioning(torch.zeros(1, 3, 4))
    of_kinds = dict.fromkeys(Row, text)
    for rows in (RowBatch.of_step([step]), RowBatch({Row.TARGET_COND: [0]})):
        text.tokens.zero_()
        assert rows.texts(of_kinds).tokens_as(dtype).eq(0).all()
        text.tokens.add_(1)
        assert rows.texts(of_kinds).tokens_as(dtype).eq(1).all()
