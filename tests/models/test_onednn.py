"""Layers and attention by oneDNN give what PyTorch's own give, on any processor."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from piebench_eval.models import loading, onednn
from piebench_eval.models.attention import plain_attention
from piebench_eval.models.loading import load_model
from piebench_eval.models.onednn import (
    OneDnnConv2d,
    OneDnnLinear,
    attends_by_onednn,
    onednn_attention,
    use_onednn_layers,
)
from piebench_eval.models.same_maps import attention_by_same_maps, maps_can_be_shared

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN")


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    """Whatever the processor, and however small the maps."""
    for module in (onednn, loading):
        monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(onednn, "_SMALLEST_MAP", 400)


def states(seed, positions=20, width=8):
    return torch.randn(2, 3, positions, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bias", [True, False])
def test_layers_give_what_pytorchs_give(bias):
    model = nn.Sequential(
        nn.Conv2d(6, 12, 3, padding=1, stride=2, bias=bias),
        nn.Conv2d(12, 12, 1, bias=bias),
        nn.Conv2d(12, 8, 3, padding=(1, 0), groups=2, bias=bias),
        nn.Flatten(2),
        nn.Linear(36, 40, bias=bias),
    )
    pixels, names = torch.randn(2, 6, 12, 16), set(model.state_dict())
    expected = model(pixels)
    use_onednn_layers(model)
    assert [type(layer) for layer in model if type(layer) is not nn.Flatten] == [OneDnnConv2d] * 3 + [
        OneDnnLinear
    ]
    assert set(model.state_dict()) == names
    with torch.no_grad():
        torch.testing.assert_close(model(pixels), expected, atol=1e-6, rtol=1e-5)


def test_layers_of_other_classes_stay():
    class Own(nn.Linear):
        pass

    paddings = [{"padding": 1, "padding_mode": "circular"}, {"padding": "same"}, {"padding": "valid"}]
    model = nn.Sequential(Own(4, 4), *(nn.Conv2d(4, 4, 3, **padding) for padding in paddings))
    use_onednn_layers(model)
    assert [type(layer) for layer in model] == [Own, *[nn.Conv2d] * 3]


@pytest.mark.parametrize(("layer", "shape"), [(nn.Linear(8, 4), (3, 8)), (nn.Conv2d(8, 4, 1), (1, 8, 5, 5))])
def test_gradients_and_half_precision_are_pytorchs(layer, shape):
    model, given = nn.Sequential(layer), torch.randn(shape, requires_grad=True)
    expected = torch.autograd.grad(layer(given).square().sum(), given)[0]
    use_onednn_layers(model)
    assert torch.equal(torch.autograd.grad(model(given).square().sum(), given)[0], expected)
    with torch.no_grad():
        half = model.to(torch.bfloat16)(given.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16


@torch.no_grad()
@pytest.mark.parametrize("numbers", [1, 50, 2**19])
def test_attention_gives_what_the_fused_kernel_gives(monkeypatch, numbers):
    """Maps are written out one query at a time, in unequal parts, or at once."""
    monkeypatch.setattr(onednn, "_MAP", numbers)
    query, key, value = states(0), states(1, 24), states(2, 24)
    assert attends_by_onednn(query, key)
    found, expected = plain_attention(query, key, value), scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert found.transpose(1, 2).is_contiguous()


def test_the_fused_kernel_attends_where_it_is_better():
    query = states(0)
    assert not attends_by_onednn(query, query)  # it is differentiated
    with torch.no_grad():
        assert attends_by_onednn(query, query)
        assert not attends_by_onednn(query, query[:, :, :19])
        assert not attends_by_onednn(query.double(), query.double())


@torch.no_grad()
def test_rows_share_maps_however_wide_they_are():
    query, key, value = (states(seed, width=80) for seed in range(3))
    values = [value, 2 * value, value + 1]
    assert maps_can_be_shared(query, 3) and not maps_can_be_shared(query, 1)
    for found, own in zip(attention_by_same_maps(query, key, values), values, strict=True):
        torch.testing.assert_close(found, scaled_dot_product_attention(query, key, own), atol=2e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("length", [1.0, 30.0, 1e4])
def test_large_entries_do_not_leave_the_range_of_numbers(length):
    """Powers of two of such entries are infinite, or all 0, unless the largest is subtracted."""
    query, key, value = (length * states(0), states(1, 24), states(2, 24))
    exact = scaled_dot_product_attention(query.double(), key.double(), value.double()).float()
    torch.testing.assert_close(onednn_attention(query, key, value), exact, atol=1e-6 * max(1, length), rtol=0)
    torch.testing.assert_close(onednn_attention(-query, key, value), onednn_attention(query, -key, value))


@torch.no_grad()
def test_what_is_no_number_stays_none():
    query, key, value = states(0), states(1, 24), states(2, 24)
    query[1, 2, 3, 0] = float("nan")
    found = onednn_attention(query, key, value)
    assert found[1, 2, 3].isnan().all() and found.isnan().sum() == value.shape[-1]


@torch.no_grad()
def test_a_loaded_model_computes_by_onednn(tiny_model, monkeypatch):
    calls, attention = [], onednn.onednn_attention
    monkeypatch.setattr(onednn, "onednn_attention", lambda *of: calls.append(of) or attention(*of))
    latents, found = torch.randn(2, 4, 16, 16), []
    for is_faster in (True, False):
        for module in (onednn, loading):
            monkeypatch.setattr(module, "onednn_is_faster", lambda is_faster=is_faster: is_faster)
        model = load_model(str(tiny_model))
        kinds = {type(module) for module in model.denoiser.modules()}
        assert ({OneDnnLinear, OneDnnConv2d} <= kinds) == is_faster
        found.append(model.predict(latents, 500, model.embed_prompts(["a cat", ""]), [0, 1]))
    assert calls
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)
    assert not torch.equal(*found)


@torch.no_grad()
def test_where_no_number_of_threads_is_to_change_a_bit_the_fused_kernel_attends(tiny_model, monkeypatch):
    latents, found = torch.randn(2, 4, 16, 16), []
    for is_faster in (True, False):
        for module in (onednn, loading):
            monkeypatch.setattr(module, "onednn_is_faster", lambda is_faster=is_faster: is_faster)
        model = load_model(str(tiny_model), deterministic=True)
        found.append(model.predict(latents, 500, model.embed_prompts(["a cat", ""]), [0, 1]))
    assert torch.equal(*found)
